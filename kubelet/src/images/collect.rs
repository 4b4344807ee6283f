//! Removing images that no container uses when the disk fills up, or when they have been unused for too long.
//!
//! upstream: pkg/kubelet/images/image_gc_manager.go

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use component_base::clock;
use jiff::{SignedDuration, Timestamp};

use crate::events::Events;
use crate::runtime::types::{Image, ImageSpec};
use crate::runtime::{Runtime, RuntimeResult};
use crate::sys::{FilesystemSpace, Kernel};

/// When images are removed.
#[derive(Clone, Copy, Debug)]
pub struct CollectPolicy {
    /// Usage of the disk in percent above which images are removed; 100 switches that off.
    pub high_percent: u64,
    /// Usage at which removing ends.
    pub low_percent: u64,
    /// Images younger than this stay.
    pub age_min: SignedDuration,
    /// Images unused for longer than this go; zero switches that off.
    pub age_max: SignedDuration,
}

/// Remembers when images were seen and used.
pub struct ImageCollector {
    runtime: Arc<dyn Runtime>,
    kernel: Arc<dyn Kernel>,
    events: Events,
    policy: CollectPolicy,
    records: BTreeMap<String, Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    first_seen: Timestamp,
    last_used: Timestamp,
    size_bytes: u64,
    pinned: bool,
    in_use: bool,
}

impl ImageCollector {
    /// Nothing is known yet.
    pub fn new(runtime: Arc<dyn Runtime>, kernel: Arc<dyn Kernel>, events: Events, policy: CollectPolicy) -> Self {
        Self { runtime, kernel, events, policy, records: BTreeMap::new() }
    }

    /// Looks what is there and removes what the policy says.
    ///
    /// # Errors
    /// The runtime did not answer.
    pub async fn collect(&mut self) -> RuntimeResult<()> {
        let now = clock::now();
        let images = self.runtime.list_images().await?;
        let containers = self.runtime.list_containers(None).await?;
        let sandbox_image = self.runtime.sandbox_image().await;
        let used: BTreeSet<String> = containers
            .into_iter()
            .flat_map(|container| [container.image_ref, container.image_id, container.image.unwrap_or_default().image])
            .chain(sandbox_image)
            .collect();
        self.note(&images, &used, now);
        for id in too_old(&self.records, &self.policy, now) {
            self.remove(&id).await;
        }
        let Some(space) = self.space().await else {
            return Ok(());
        };
        let wanted = bytes_to_free(&space, &self.policy);
        if wanted == 0 {
            return Ok(());
        }
        let mut freed = 0;
        for id in candidates(&self.records, &self.policy, now) {
            if freed >= wanted {
                break;
            }
            let size = self.records.get(&id).map_or(0, |record| record.size_bytes);
            if self.remove(&id).await {
                freed += size;
            }
        }
        if freed < wanted {
            let message = format!(
                "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
            );
            tracing::warn!(wanted, freed, "images in use fill the disk");
            self.events.node_warning("FreeDiskSpaceFailed", message);
        }
        Ok(())
    }

    fn note(&mut self, images: &[Image], used: &BTreeSet<String>, now: Timestamp) {
        let present: BTreeSet<&String> = images.iter().map(|image| &image.id).collect();
        self.records.retain(|id, _| present.contains(id));
        for image in images {
            let names = image.repo_tags.iter().chain(&image.repo_digests).chain([&image.id]);
            let in_use = names.into_iter().any(|name| used.contains(name));
            let record = self.records.entry(image.id.clone()).or_insert(Record {
                first_seen: now,
                last_used: now,
                size_bytes: 0,
                pinned: false,
                in_use: false,
            });
            record.size_bytes = image.size;
            record.pinned = image.pinned;
            record.in_use = in_use;
            if in_use {
                record.last_used = now;
            }
        }
    }

    async fn space(&self) -> Option<FilesystemSpace> {
        let filesystems = self.runtime.image_filesystems().await.ok()?;
        let mountpoint = filesystems.into_iter().find_map(|usage| usage.fs_id.map(|id| id.mountpoint))?;
        self.kernel.filesystem_space(std::path::Path::new(&mountpoint)).ok()
    }

    async fn remove(&mut self, id: &str) -> bool {
        let spec = ImageSpec { image: id.to_owned(), ..ImageSpec::default() };
        match self.runtime.remove_image(spec).await {
            Ok(()) => {
                tracing::info!(image = id, "removed an unused image");
                self.records.remove(id);
                true
            }
            Err(error) => {
                tracing::warn!(image = id, %error, "image was not removed");
                false
            }
        }
    }
}

fn bytes_to_free(space: &FilesystemSpace, policy: &CollectPolicy) -> u64 {
    if policy.high_percent >= 100 || space.capacity_bytes == 0 {
        return 0;
    }
    let used_percent = 100 - (space.available_bytes.saturating_mul(100) / space.capacity_bytes).min(100);
    if used_percent < policy.high_percent {
        return 0;
    }
    let target = space.capacity_bytes / 100 * (100 - policy.low_percent.min(100));
    target.saturating_sub(space.available_bytes)
}

/// Images that may go, the one that was not used for the longest time first.
fn candidates(records: &BTreeMap<String, Record>, policy: &CollectPolicy, now: Timestamp) -> Vec<String> {
    let mut free: Vec<(&String, &Record)> = records
        .iter()
        .filter(|(_, record)| !record.in_use && !record.pinned)
        .filter(|(_, record)| now.duration_since(record.first_seen) >= policy.age_min)
        .collect();
    free.sort_by_key(|(_, record)| (record.last_used, record.first_seen));
    free.into_iter().map(|(id, _)| id.clone()).collect()
}

fn too_old(records: &BTreeMap<String, Record>, policy: &CollectPolicy, now: Timestamp) -> Vec<String> {
    if policy.age_max.is_zero() {
        return Vec::new();
    }
    let old = |record: &Record| now.duration_since(record.last_used) > policy.age_max;
    records
        .iter()
        .filter(|(_, record)| !record.in_use && !record.pinned && old(record))
        .map(|(id, _)| id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: CollectPolicy = CollectPolicy {
        high_percent: 85,
        low_percent: 80,
        age_min: SignedDuration::from_secs(120),
        age_max: SignedDuration::ZERO,
    };

    #[test]
    fn frees_down_to_the_low_mark_only_above_the_high_one() {
        let space = |available_bytes| FilesystemSpace { capacity_bytes: 1000, available_bytes, ..Default::default() };
        assert_eq!(bytes_to_free(&space(200), &POLICY), 0);
        assert_eq!(bytes_to_free(&space(150), &POLICY), 50);
        assert_eq!(bytes_to_free(&space(0), &POLICY), 200);
    }

    #[test]
    fn the_longest_unused_goes_first_and_young_pinned_or_used_ones_stay() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let record = |seen, used, pinned, in_use| Record {
            first_seen: at(seen),
            last_used: at(used),
            size_bytes: 1,
            pinned,
            in_use,
        };
        let records = BTreeMap::from([
            ("b".to_owned(), record(0, 50, false, false)),
            ("a".to_owned(), record(0, 90, false, false)),
            ("pinned".to_owned(), record(0, 0, true, false)),
            ("used".to_owned(), record(0, 0, false, true)),
            ("young".to_owned(), record(950, 950, false, false)),
        ]);
        assert_eq!(candidates(&records, &POLICY, at(1000)), ["b", "a"]);
        let aged = CollectPolicy { age_max: SignedDuration::from_secs(930), ..POLICY };
        assert_eq!(too_old(&records, &aged, at(1000)), ["b"]);
    }
}
