//! Managed fields of the scale subresource: those of the main object seen as fields of a Scale, and back.

use super::managers::{self, ManagedFieldsError, Managers, Owned};
use super::set::{FieldSet, PathElement};
use crate::value::Value;

const SCALE_VERSION: &str = "autoscaling/v1";

/// Between the managed fields of an object and those of its Scale.
pub struct ScaleFields<'a> {
    /// `metadata.managedFields` of the object.
    pub entries: &'a Value,
    /// The version of the object in which changes through the scale are noted.
    pub api_version: &'a str,
    /// Where `replicas` is, by API version of the object; nothing where there is no scale.
    pub paths: &'a [(&'a str, Option<&'a [&'a str]>)],
}

fn path_of(names: &[&str]) -> Vec<PathElement> {
    names.iter().map(|n| PathElement::field(n)).collect()
}

impl ScaleFields<'_> {
    fn path(&self, api_version: &str) -> Option<Option<Vec<PathElement>>> {
        self.paths.iter().find(|(v, _)| *v == api_version).map(|(_, path)| path.map(path_of))
    }

    fn decode(entries: &Value) -> Result<Managers, String> {
        managers::decode(entries).map_err(|e: ManagedFieldsError| e.to_string())
    }

    /// The managed fields of the Scale: who owns `replicas`; null if nobody does.
    ///
    /// # Errors
    /// If the entries cannot be read.
    pub fn to_scale(&self) -> Result<Value, String> {
        let mut out = Managers::new();
        for (key, owned) in Self::decode(self.entries)? {
            let owns = self.path(&owned.api_version).flatten().is_some_and(|path| owned.set.has(&path));
            if owns {
                let set = FieldSet::of(&[&["spec", "replicas"]]);
                out.insert(key, Owned { api_version: SCALE_VERSION.to_owned(), set, ..owned });
            }
        }
        Ok(managers::encode(&out).unwrap_or_default())
    }

    /// The managed fields of the object after the Scale was written with `scale_entries`.
    ///
    /// # Errors
    /// If the entries cannot be read.
    pub fn to_object(&self, scale_entries: &Value) -> Result<Value, String> {
        let parents = Self::decode(self.entries)?;
        let mut scales = Self::decode(scale_entries)?;
        let mut out = Managers::new();
        for (key, owned) in &parents {
            let Some(path) = self.path(&owned.api_version) else { continue };
            let mut owned = owned.clone();
            if let Some(path) = path.filter(|p| owned.set.has(p))
                && scales.remove(key).is_none()
            {
                let mut replicas = FieldSet::default();
                replicas.insert(&path);
                owned.set = owned.set.difference(&replicas);
            }
            if !owned.set.is_empty() {
                out.insert(key.clone(), owned);
            }
        }
        let replicas = path_of(&["spec", "replicas"]);
        let Some(Some(path)) = self.path(self.api_version) else {
            return Ok(managers::encode(&out).unwrap_or_default());
        };
        for (key, owned) in scales.into_iter().filter(|(_, o)| o.set.has(&replicas)) {
            let mut set = FieldSet::default();
            set.insert(&path);
            let time = parents.get(&key).map(|p| p.time.clone()).unwrap_or_default();
            out.insert(key, Owned { api_version: self.api_version.to_owned(), set, time, ..owned });
        }
        Ok(managers::encode(&out).unwrap_or_default())
    }
}
