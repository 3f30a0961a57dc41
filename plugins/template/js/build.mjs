// Makes a component of plugin.mjs; `opendepot plugin build` runs it and says where to.
import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';

const { component } = await componentize({
  sourcePath: 'plugin.mjs',
  witPath: 'wit',
  worldName: '@WORLD@-plugin',
  // No world offers any of these.
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile(process.argv[2] ?? 'plugin.wasm', component);
