//! What was packed, as text for people.

use std::fmt::Write as _;

use crate::explain::{safe_line, size};
use crate::release::pack::{App, Pack, Tarball};

/// The whole report; `directory` is where the files lie, `None` where nothing was written.
pub fn text(pack: &Pack, directory: Option<&str>) -> String {
    let mut text = String::new();
    for tarball in &pack.packages {
        of_tarball(&mut text, tarball);
    }
    for app in &pack.apps {
        of_app(&mut text, app);
    }
    for warning in &pack.warnings {
        let _ = writeln!(
            text,
            "warning[{}]: {}",
            warning.code,
            safe_line(&warning.message)
        );
    }
    let _ = match directory {
        _ if pack.packages.is_empty() && pack.apps.is_empty() => writeln!(text, "nothing to pack"),
        Some(directory) => writeln!(text, "packed into {}", safe_line(directory)),
        None => writeln!(text, "dry run: no tarball or archive is written"),
    };
    text
}

fn of_tarball(text: &mut String, tarball: &Tarball) {
    let Tarball {
        name,
        version,
        file,
        size: packed,
        unpacked_size,
        integrity,
        ..
    } = tarball;
    let _ = writeln!(text, "{name} {version}: {file}");
    for file in &tarball.files {
        let _ = writeln!(text, "  {:>10}  {}", file.size, safe_line(&file.path));
    }
    let _ = writeln!(
        text,
        "  {} files, {}, packed {}",
        tarball.files.len(),
        size(*unpacked_size),
        size(*packed)
    );
    let _ = writeln!(text, "  {integrity}");
}

fn of_app(text: &mut String, app: &App) {
    let sealed = &app.sealed;
    let _ = write!(
        text,
        "{} {} ({})",
        sealed.name, sealed.version, sealed.variant
    );
    if let (Some(file), Some(archive)) = (&app.file, &sealed.archive) {
        let _ = write!(
            text,
            ": {file}\n  {} entries, {}, packed {}\n  {}",
            archive.entries,
            size(archive.tar_size),
            size(archive.size),
            archive.digest
        );
        for (file, archive) in app.alternative_files.iter().zip(&sealed.alternatives) {
            let _ = write!(
                text,
                "\n  {file}: the same, packed {}\n  {}",
                size(archive.size),
                archive.digest
            );
        }
    }
    if let Some(files) = &sealed.static_files {
        let _ = write!(
            text,
            "\n  {} static files, {}",
            files.count,
            size(files.bytes)
        );
    }
    text.push('\n');
}
