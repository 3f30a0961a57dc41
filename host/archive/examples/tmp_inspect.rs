#![allow(clippy::all, clippy::print_stdout, clippy::unwrap_used)]
use opendepot_archive::*;
use std::path::Path;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let c = Cancel::default();
    let t = std::time::Instant::now();
    if a[1] == "provider" {
        println!("{:?} {:?}", inspect_provider(Path::new(&a[3]), &opendepot_domain::ResourceName::new(a[2].as_str()).unwrap(), &Limits::provider(), &c), t.elapsed());
    } else {
        let p = Path::new(&a[3]);
        let input = match a[2].as_str() { "folder" => ModuleInput::Folder(p), "strip" => ModuleInput::Archive{file:p, wrapper: Wrapper::Strip}, _ => ModuleInput::Archive{file:p, wrapper: Wrapper::Keep}};
        let mut o = std::fs::File::options().read(true).write(true).create(true).open(&a[5]).unwrap();
        let f = Format::of_file_format(Some(&a[4])).unwrap();
        match package_module(&input, None, f, &mut o, &std::env::temp_dir(), &Limits::module(), &c) { Ok(mut m) => { m.readme = m.readme.map(|r| r.chars().take(20).collect()); println!("{m:?} {:?}", t.elapsed()) }, Err(e) => println!("ERR {} {e}", e.reason()) }
    }
}
