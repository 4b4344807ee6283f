//! Writes a set of files so that a reader sees the old set or the new one and never a mixture.
//!
//! The visible names are links into `..data`, which is itself a link to a folder with the time in its name; replacing that
//! one link replaces all files at once.
//!
//! upstream: pkg/volume/util/atomic_writer.go

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::VolumeError;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// One file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Content.
    pub data: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner, where it is not root.
    pub owner: Option<u32>,
}

/// Files by their path below the volume.
pub type Payload = BTreeMap<String, Projection>;

/// Makes the files below `target` equal to `payload`. `prepare` is run on the new folder before anyone sees it.
///
/// # Errors
/// A path is not allowed, or a file operation failed; the old files stay.
pub fn write(
    target: &Path,
    payload: &Payload,
    prepare: impl FnOnce(&Path) -> Result<(), VolumeError>,
) -> Result<(), VolumeError> {
    for path in payload.keys() {
        validate(path)?;
    }
    let current = fs::read_link(target.join(DATA)).ok();
    if let Some(current) = &current
        && is_current(&target.join(current), payload)
    {
        return link_visible(target, payload);
    }
    let folder = new_folder(target)?;
    write_files(&folder, payload)?;
    prepare(&folder)?;
    let new = target.join(DATA_NEW);
    remove_if_there(&new)?;
    let name = folder.file_name().map(PathBuf::from).unwrap_or_default();
    symlink(&name, &new).map_err(VolumeError::io("link", &new))?;
    fs::rename(&new, target.join(DATA)).map_err(VolumeError::io("rename", &new))?;
    link_visible(target, payload)?;
    remove_stale(target, payload)?;
    if let Some(old) = current {
        let old = target.join(old);
        fs::remove_dir_all(&old).or_else(ignore_absent).map_err(VolumeError::io("remove", &old))?;
    }
    Ok(())
}

fn validate(path: &str) -> Result<(), VolumeError> {
    let bad = || VolumeError::BadPath(path.to_owned());
    if path.is_empty() || path.starts_with("..") && !path.starts_with("../") && path.len() == 2 {
        return Err(bad());
    }
    let components: Vec<Component<'_>> = Path::new(path).components().collect();
    let plain = components.iter().all(|component| matches!(component, Component::Normal(_)));
    let first_hidden = path.starts_with("..");
    if plain && !first_hidden { Ok(()) } else { Err(bad()) }
}

fn is_current(folder: &Path, payload: &Payload) -> bool {
    let mut found = Vec::new();
    if list_files(folder, folder, &mut found).is_err() || found.len() != payload.len() {
        return false;
    }
    payload.iter().all(|(path, projection)| {
        let file = folder.join(path);
        let same_mode =
            fs::metadata(&file).is_ok_and(|meta| meta.permissions().mode() & 0o700 == projection.mode & 0o700);
        same_mode && fs::read(&file).is_ok_and(|data| data == projection.data)
    })
}

fn list_files(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list_files(root, &entry.path(), found)?;
        } else {
            found.push(entry.path().strip_prefix(root).unwrap_or(&entry.path()).to_path_buf());
        }
    }
    Ok(())
}

fn new_folder(target: &Path) -> Result<PathBuf, VolumeError> {
    let now = Timestamp::now();
    let stamp = now.strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    let folder = target.join(format!("{stamp}.{}", now.subsec_nanosecond()));
    fs::create_dir(&folder).map_err(VolumeError::io("create", &folder))?;
    set_mode(&folder, 0o755)?;
    Ok(folder)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), VolumeError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(VolumeError::io("change the mode of", path))
}

fn write_files(folder: &Path, payload: &Payload) -> Result<(), VolumeError> {
    for (path, projection) in payload {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(VolumeError::io("create", parent))?;
        }
        fs::write(&file, &projection.data).map_err(VolumeError::io("write", &file))?;
        set_mode(&file, projection.mode)?;
        if let Some(owner) = projection.owner {
            std::os::unix::fs::chown(&file, Some(owner), None)
                .map_err(VolumeError::io("change the owner of", &file))?;
        }
    }
    Ok(())
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// Every first component of a path gets a link into the data folder.
fn link_visible(target: &Path, payload: &Payload) -> Result<(), VolumeError> {
    for path in payload.keys() {
        let name = top(path);
        let visible = target.join(name);
        if fs::symlink_metadata(&visible).is_err() {
            symlink(Path::new(DATA).join(name), &visible).map_err(VolumeError::io("link", &visible))?;
        }
    }
    Ok(())
}

fn remove_stale(target: &Path, payload: &Payload) -> Result<(), VolumeError> {
    for entry in fs::read_dir(target).map_err(VolumeError::io("read", target))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = !name.starts_with("..") && entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if ours && !payload.keys().any(|path| top(path) == name) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<(), VolumeError> {
    fs::remove_file(path).or_else(ignore_absent).map_err(VolumeError::io("remove", path))
}

fn ignore_absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        files
            .iter()
            .map(|(path, data)| {
                ((*path).to_owned(), Projection { data: data.as_bytes().to_vec(), mode: 0o644, owner: None })
            })
            .collect()
    }

    fn put(target: &Path, files: &[(&str, &str)]) {
        write(target, &payload(files), |_| Ok(())).expect("written");
    }

    fn visible(target: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(target)
            .expect("readable")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with(".."))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_all_files_at_once_and_leaves_one_folder() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path();
        put(target, &[("a", "1"), ("d/b", "2")]);
        assert_eq!(fs::read_to_string(target.join("d/b")).expect("readable"), "2");
        let before = fs::read_link(target.join(DATA)).expect("a link");
        put(target, &[("a", "1"), ("d/b", "2")]);
        assert_eq!(fs::read_link(target.join(DATA)).expect("a link"), before, "an equal set is not written again");
        put(target, &[("a", "9"), ("c", "3")]);
        assert_eq!(visible(target), ["a", "c"]);
        assert_eq!(fs::read_to_string(target.join("a")).expect("readable"), "9");
        let hidden =
            fs::read_dir(target).expect("readable").flatten().filter(|e| e.path().is_dir() && !e.path().is_symlink());
        assert_eq!(hidden.count(), 1);
    }

    #[test]
    fn refuses_paths_that_lead_out() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for path in ["", "..", "../x", "a/../../x", "/x", "..hidden"] {
            assert!(write(folder.path(), &payload(&[(path, "")]), |_| Ok(())).is_err(), "{path}");
        }
    }
}
