//! An ordered map of entries that is cheap to snapshot: a sorted vector of sorted chunks, shared by `Arc`.
//!
//! A clone is one pointer. A write copies the spine (one pointer per chunk) and one chunk, and only while a
//! clone is alive; otherwise it works in place.

use std::sync::Arc;

use super::cache::Entry;

/// Entries per chunk before it is split in two.
const CHUNK: usize = 128;

type Chunk = Vec<Arc<Entry>>;

/// Entries by key. Clones are snapshots.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    chunks: Arc<Vec<Arc<Chunk>>>,
    len: usize,
}

impl Tree {
    /// Builds a tree from entries sorted by key.
    pub fn from_sorted(entries: Vec<Arc<Entry>>) -> Self {
        let len = entries.len();
        let mut chunks = Vec::with_capacity(len / (CHUNK / 2) + 1);
        let mut rest = entries.into_iter().peekable();
        while rest.peek().is_some() {
            chunks.push(Arc::new(rest.by_ref().take(CHUNK * 3 / 4).collect::<Chunk>()));
        }
        Self { chunks: Arc::new(chunks), len }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        let at = chunk.binary_search_by(|e| (*e.key).cmp(key)).ok()?;
        chunk.get(at)
    }

    /// Puts an entry in, and returns what it replaced.
    pub fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let Some(index) = self.chunk_of(&entry.key) else {
            Arc::make_mut(&mut self.chunks).push(Arc::new(vec![entry]));
            self.len += 1;
            return None;
        };
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[index]);
        match chunk.binary_search_by(|e| e.key.cmp(&entry.key)) {
            Ok(at) => Some(std::mem::replace(&mut chunk[at], entry)),
            Err(at) => {
                chunk.insert(at, entry);
                self.len += 1;
                if chunk.len() > CHUNK {
                    let upper = chunk.split_off(chunk.len() / 2);
                    chunks.insert(index + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &str) -> Option<Arc<Entry>> {
        let index = self.chunk_of(key)?;
        let at = self.chunks[index].binary_search_by(|e| (*e.key).cmp(key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[index]);
        let gone = chunk.remove(at);
        if chunk.is_empty() {
            chunks.remove(index);
        }
        self.len -= 1;
        Some(gone)
    }

    /// Entries whose key starts with `prefix` and is not less than `from`, in order.
    pub fn range<'a>(&'a self, prefix: &'a str, from: &str) -> Range<'a> {
        let start = if from > prefix { from } else { prefix };
        let chunk = self.chunk_of(start).unwrap_or(0);
        let at = self.chunks.get(chunk).map_or(0, |c| c.partition_point(|e| &*e.key < start));
        Range { tree: self, chunk, at, prefix }
    }

    /// How many entries have the prefix.
    pub fn count(&self, prefix: &str, from: &str) -> usize {
        if prefix.is_empty() && from.is_empty() {
            return self.len;
        }
        self.range(prefix, from).count()
    }

    /// Index of the chunk that holds the key or where it belongs; `None` if the tree is empty.
    fn chunk_of(&self, key: &str) -> Option<usize> {
        if self.chunks.is_empty() {
            return None;
        }
        let after = self.chunks.partition_point(|c| c.first().is_some_and(|e| &*e.key <= key));
        Some(after.saturating_sub(1))
    }
}

/// Iterator over a part of a tree.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    tree: &'a Tree,
    chunk: usize,
    at: usize,
    prefix: &'a str,
}

impl<'a> Iterator for Range<'a> {
    type Item = &'a Arc<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let chunk = self.tree.chunks.get(self.chunk)?;
            let Some(entry) = chunk.get(self.at) else {
                self.chunk += 1;
                self.at = 0;
                continue;
            };
            if !entry.key.starts_with(self.prefix) {
                return None;
            }
            self.at += 1;
            return Some(entry);
        }
    }

    /// Counts whole chunks: every page of a long list says how much is left behind it.
    fn count(self) -> usize {
        let within = |entry: &Arc<Entry>| entry.key.starts_with(self.prefix);
        let Some(first) = self.tree.chunks.get(self.chunk).and_then(|chunk| chunk.get(self.at..)) else { return 0 };
        let later = &self.tree.chunks[self.chunk + 1..];
        match later[..later.partition_point(|chunk| chunk.first().is_some_and(within))].split_last() {
            None => first.partition_point(within),
            Some((last, whole)) => {
                first.len() + whole.iter().map(|chunk| chunk.len()).sum::<usize>() + last.partition_point(within)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn entry(key: &str, rv: u64) -> Arc<Entry> {
        Arc::new(Entry::for_test(key, rv))
    }

    #[test]
    fn behaves_as_an_ordered_map_and_snapshots_do_not_change() {
        let mut tree = Tree::default();
        let mut model = BTreeMap::new();
        let mut snapshots = Vec::new();
        let mut seed = 7u64;
        for step in 0..5000u64 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let key = format!("ns{}/p{}", (seed >> 33) % 5, (seed >> 40) % 700);
            if seed.is_multiple_of(3) {
                assert_eq!(tree.remove(&key).map(|e| e.rv), model.remove(&key));
            } else {
                assert_eq!(tree.insert(entry(&key, step)).map(|e| e.rv), model.insert(key, step));
            }
            assert_eq!(tree.len(), model.len());
            if step % 997 == 0 {
                snapshots.push((tree.clone(), model.clone()));
            }
        }
        snapshots.push((tree, model));
        for (tree, model) in &snapshots {
            let all: Vec<_> = tree.range("", "").map(|e| (e.key.to_string(), e.rv)).collect();
            assert_eq!(all, model.iter().map(|(k, v)| (k.clone(), *v)).collect::<Vec<_>>());
            let some: Vec<_> = tree.range("ns3/", "ns3/p3").map(|e| e.key.to_string()).collect();
            let want: Vec<_> =
                model.keys().filter(|k| k.starts_with("ns3/") && k.as_str() >= "ns3/p3").cloned().collect();
            assert_eq!(some, want);
            for (prefix, from) in
                [("", ""), ("", "ns2/p5"), ("ns3/", "ns3/p3"), ("ns4/", ""), ("ns4/", "ns5/"), ("o", "")]
            {
                let wanted = model.keys().filter(|k| k.starts_with(prefix) && k.as_str() >= from).count();
                assert_eq!(tree.count(prefix, from), wanted, "{prefix} from {from}");
            }
            let (k, v) = model.iter().nth(model.len() / 2).unwrap();
            assert_eq!(tree.get(k).unwrap().rv, *v);
        }
    }
}
