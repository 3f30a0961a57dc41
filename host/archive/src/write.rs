//! Writes packages that depend on the files alone: sorted, one time, one owner, two modes.

use crate::error::Error;
use crate::limits::{CHUNK_BYTES, Watch};
use crate::spool::Spooled;
use crate::tree::PackagedFile;
use flate2::{Compression, GzBuilder};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// Named, so that a changed default of a library does not change our bytes.
const LEVEL: u32 = 6;

const WRITE: &str = "write the package";

pub(crate) fn zip(
    files: &[PackagedFile],
    spooled: &Spooled,
    output: &mut File,
    watch: &Watch,
) -> Result<(), Error> {
    let failed = |error: zip::result::ZipError| Error::io(WRITE)(error.into());
    let mut writer = ZipWriter::new(BufWriter::with_capacity(CHUNK_BYTES, output));
    for file in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(LEVEL.into()))
            .last_modified_time(DateTime::DEFAULT)
            .system(System::Unix)
            .unix_permissions(file.mode())
            .large_file(file.content.length >= u32::MAX.into());
        writer
            .start_file(file.path.as_str(), options)
            .map_err(failed)?;
        spooled.copy(&file.content, u64::MAX, watch, &mut |chunk| {
            writer.write_all(chunk).map_err(Error::io(WRITE))
        })?;
    }
    let mut output = writer.finish().map_err(failed)?;
    output.flush().map_err(Error::io(WRITE))
}

pub(crate) fn tar_gz(
    files: &[PackagedFile],
    spooled: &Spooled,
    output: &mut File,
    watch: &Watch,
) -> Result<(), Error> {
    let gzip = GzBuilder::new().mtime(0).write(
        BufWriter::with_capacity(CHUNK_BYTES, output),
        Compression::new(LEVEL),
    );
    let mut builder = tar::Builder::new(gzip);
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(file.mode());
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(file.content.length);
        // The builder pulls and the spool pushes, so the headers go first, without content.
        builder
            .append_data(&mut header, &file.path, io::empty())
            .map_err(Error::io(WRITE))?;
        let gzip = builder.get_mut();
        spooled.copy(&file.content, u64::MAX, watch, &mut |chunk| {
            gzip.write_all(chunk).map_err(Error::io(WRITE))
        })?;
        let padding = file.content.length.wrapping_neg() % 512;
        io::copy(&mut io::repeat(0).take(padding), gzip).map_err(Error::io(WRITE))?;
    }
    let mut output = builder
        .into_inner()
        .and_then(flate2::write::GzEncoder::finish)
        .map_err(Error::io(WRITE))?;
    output.flush().map_err(Error::io(WRITE))
}
