//! Which kubeconfig files are read and written. Corresponds to clientcmd loader.go, config.go (`ModifyConfig`).

use std::path::{Path, PathBuf};

use super::KubeConfig;

/// The files that make up the configuration.
#[derive(Clone, Debug)]
pub struct ConfigAccess {
    explicit: Option<PathBuf>,
    precedence: Vec<PathBuf>,
}

impl ConfigAccess {
    /// From `--kubeconfig`, else `KUBECONFIG`, else the home directory.
    pub fn new(flag: &str) -> Self {
        let explicit = (!flag.is_empty()).then(|| PathBuf::from(flag));
        let variable = std::env::var("KUBECONFIG").unwrap_or_default();
        let mut precedence: Vec<PathBuf> = Vec::new();
        for part in variable.split(':').filter(|p| !p.is_empty()) {
            if !precedence.iter().any(|p| p.as_os_str() == part) {
                precedence.push(PathBuf::from(part));
            }
        }
        if precedence.is_empty() {
            precedence.push(home_file());
        }
        Self { explicit, precedence }
    }

    /// Whether `--kubeconfig` names the file.
    pub fn is_explicit(&self) -> bool {
        self.explicit.is_some()
    }

    fn files(&self) -> Vec<PathBuf> {
        match &self.explicit {
            Some(path) => vec![path.clone()],
            None => self.precedence.clone(),
        }
    }

    /// The file that new entries go to.
    pub fn default_file(&self) -> PathBuf {
        if let Some(path) = &self.explicit {
            return path.clone();
        }
        let existing = self.precedence.iter().find(|p| p.exists());
        existing.or(self.precedence.first()).cloned().unwrap_or_default()
    }

    /// The merged configuration with absolute paths. A missing explicit file is an error.
    pub fn load(&self) -> anyhow::Result<KubeConfig> {
        if let Some(path) = &self.explicit
            && let Err(error) = std::fs::metadata(path)
            && error.kind() == std::io::ErrorKind::NotFound
        {
            anyhow::bail!("stat {}: {}", path.display(), crate::files::go_error(&error));
        }
        let mut merged = KubeConfig::default();
        for path in self.files() {
            if let Some(config) = read_file(&path)
                .map_err(|e| anyhow::anyhow!("error loading config file \"{}\": {e}", path.display()))?
            {
                merged.merge_under(config);
            }
        }
        merged.resolve_paths();
        Ok(merged)
    }

    /// The merged configuration to start changing from: a missing explicit file counts as empty.
    pub fn starting(&self) -> anyhow::Result<KubeConfig> {
        if self.explicit.as_ref().is_some_and(|p| !p.exists()) {
            return Ok(KubeConfig::default());
        }
        self.load()
    }

    /// The explicit file alone, paths as written.
    pub fn load_explicit(&self) -> anyhow::Result<KubeConfig> {
        let path = self.default_file();
        match read_file(&path).map_err(anyhow::Error::msg)? {
            Some(config) => Ok(config),
            None => anyhow::bail!("open {}: no such file or directory", path.display()),
        }
    }

    /// Writes the difference between the present configuration and `new` into the files the entries belong to.
    pub fn modify(&self, new: &KubeConfig, relativize: bool) -> anyhow::Result<()> {
        let locks = self.lock()?;
        let result = self.modify_locked(new, relativize);
        for lock in locks {
            // A lock that is already gone needs no removal.
            let _ = std::fs::remove_file(lock);
        }
        result
    }

    fn lock(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = self.files();
        files.sort();
        let mut locks = Vec::new();
        for file in files {
            make_parent(&file)?;
            let lock = PathBuf::from(format!("{}.lock", file.display()));
            if let Err(error) = std::fs::OpenOptions::new().write(true).create_new(true).open(&lock) {
                for taken in &locks {
                    let _ = std::fs::remove_file(taken);
                }
                anyhow::bail!("open {}: {}", lock.display(), crate::files::go_error(&error));
            }
            locks.push(lock);
        }
        Ok(locks)
    }

    fn modify_locked(&self, new: &KubeConfig, relativize: bool) -> anyhow::Result<()> {
        let old = self.starting()?;
        if old.current_context != new.current_context {
            self.write_current_context(&new.current_context)?;
        }
        for (name, cluster) in &new.clusters {
            if old.clusters.get(name) == Some(cluster) {
                continue;
            }
            self.edit(&cluster.origin, |config, file| {
                let mut cluster = cluster.clone();
                if relativize {
                    make_relative(file, &mut cluster.certificate_authority);
                }
                config.clusters.insert(name.clone(), cluster);
            })?;
        }
        for (name, context) in &new.contexts {
            if old.contexts.get(name) != Some(context) {
                self.edit(&context.origin, |config, _| {
                    config.contexts.insert(name.clone(), context.clone());
                })?;
            }
        }
        for (name, user) in &new.users {
            if old.users.get(name) == Some(user) {
                continue;
            }
            self.edit(&user.origin, |config, file| {
                let mut user = user.clone();
                if relativize {
                    make_relative(file, &mut user.client_certificate);
                    make_relative(file, &mut user.client_key);
                    make_relative(file, &mut user.token_file);
                }
                config.users.insert(name.clone(), user);
            })?;
        }
        self.remove_entries(&old, new)
    }

    fn remove_entries(&self, old: &KubeConfig, new: &KubeConfig) -> anyhow::Result<()> {
        for (name, gone) in old.clusters.iter().filter(|(n, _)| !new.clusters.contains_key(*n)) {
            self.edit(&gone.origin, |config, _| {
                config.clusters.remove(name);
            })?;
        }
        for (name, gone) in old.contexts.iter().filter(|(n, _)| !new.contexts.contains_key(*n)) {
            self.edit(&gone.origin, |config, _| {
                config.contexts.remove(name);
            })?;
        }
        for (name, gone) in old.users.iter().filter(|(n, _)| !new.users.contains_key(*n)) {
            self.edit(&gone.origin, |config, _| {
                config.users.remove(name);
            })?;
        }
        Ok(())
    }

    fn edit(&self, origin: &Path, change: impl FnOnce(&mut KubeConfig, &Path)) -> anyhow::Result<()> {
        let file = if origin.as_os_str().is_empty() { self.default_file() } else { origin.to_owned() };
        let mut config = read_file(&file).map_err(anyhow::Error::msg)?.unwrap_or_default();
        change(&mut config, &file);
        write_file(&config, &file)
    }

    fn write_current_context(&self, name: &str) -> anyhow::Result<()> {
        if self.explicit.is_some() || !name.is_empty() {
            return self.edit(&self.default_file(), |config, _| config.current_context = name.to_owned());
        }
        for file in self.files() {
            let Some(config) = read_file(&file).map_err(anyhow::Error::msg)? else {
                continue;
            };
            if !config.current_context.is_empty() {
                return self.edit(&file, |config, _| config.current_context.clear());
            }
        }
        anyhow::bail!("no config found to write context")
    }
}

fn home_file() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    Path::new(&home).join(".kube/config")
}

/// `None` if the file does not exist.
fn read_file(path: &Path) -> Result<Option<KubeConfig>, String> {
    match std::fs::read_to_string(path) {
        Ok(content) => KubeConfig::parse(&content, path).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("open {}: {}", path.display(), crate::files::go_error(&error))),
    }
}

fn make_parent(file: &Path) -> anyhow::Result<()> {
    if let Some(dir) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .map_err(|e| anyhow::anyhow!("mkdir {}: {}", dir.display(), crate::files::go_error(&e)))?;
    }
    Ok(())
}

fn write_file(config: &KubeConfig, file: &Path) -> anyhow::Result<()> {
    make_parent(file)?;
    let value = crate::codec::decode_json(config.to_json().as_bytes())?;
    let text = crate::codec::encode_yaml(&value);
    crate::files::write_private(file, text.as_bytes())
        .map_err(|e| anyhow::anyhow!("open {}: {}", file.display(), crate::files::go_error(&e)))
}

/// Writes a path under the file's folder relative to it; others stay.
fn make_relative(file: &Path, path: &mut String) {
    if path.is_empty() {
        return;
    }
    let base = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(base) = std::path::absolute(base) else {
        return;
    };
    if let Ok(inside) = Path::new(path.as_str()).strip_prefix(&base) {
        *path = inside.to_string_lossy().into_owned();
    }
}
