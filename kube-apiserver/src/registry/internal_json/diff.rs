//! What two texts differ in, as unified diffs show it: with three lines of context, found by the longest common blocks.
//! upstream: apimachinery/pkg/util/diff, whose algorithm is that of Python's difflib

use std::collections::HashMap;
use std::ops::Range;

/// Lines around a difference.
const CONTEXT: usize = 3;
/// From so many lines on, those that are very frequent do not start a common block.
const LONG: usize = 200;

/// A stretch of lines in both texts: common to both, or one in place of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    same: bool,
    old: Range<usize>,
    new: Range<usize>,
}

/// The unified diff of two texts, without heads; empty if they are the same.
pub fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut out = String::new();
    for group in groups(stretches(&old, &new)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let span = |start: usize, end: usize| match end - start {
            1 => (start + 1).to_string(),
            0 => format!("{start},0"),
            lines => format!("{},{lines}", start + 1),
        };
        let (before, after) = (span(first.old.start, last.old.end), span(first.new.start, last.new.end));
        out.push_str(&format!("@@ -{before} +{after} @@\n"));
        for stretch in &group {
            let mut lines = |mark: char, lines: &[&str]| {
                lines.iter().for_each(|line| out.push_str(&format!("{mark}{line}\n")));
            };
            if stretch.same {
                lines(' ', &old[stretch.old.clone()]);
            } else {
                lines('-', &old[stretch.old.clone()]);
                lines('+', &new[stretch.new.clone()]);
            }
        }
    }
    out
}

/// Where each line of a text is; of long texts without the lines that are too frequent to tell anything.
fn places<'a>(text: &[&'a str]) -> HashMap<&'a str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, line) in text.iter().enumerate() {
        places.entry(line).or_default().push(i);
    }
    if text.len() >= LONG {
        let most = text.len() / 100 + 1;
        places.retain(|_, at| at.len() <= most);
    }
    places
}

/// The longest common block within two ranges: where it starts in both, and its length.
fn longest(
    old: &[&str],
    new: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    a: &Range<usize>,
    b: &Range<usize>,
) -> (usize, usize, usize) {
    let (mut i, mut j, mut size) = (a.start, b.start, 0);
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for x in a.clone() {
        let mut next = HashMap::new();
        for y in places.get(old[x]).into_iter().flatten().copied().filter(|y| b.contains(y)) {
            let length = y.checked_sub(1).and_then(|before| lengths.get(&before)).copied().unwrap_or(0) + 1;
            next.insert(y, length);
            if length > size {
                (i, j, size) = (x + 1 - length, y + 1 - length, length);
            }
        }
        lengths = next;
    }
    while i > a.start && j > b.start && old[i - 1] == new[j - 1] {
        (i, j, size) = (i - 1, j - 1, size + 1);
    }
    while i + size < a.end && j + size < b.end && old[i + size] == new[j + size] {
        size += 1;
    }
    (i, j, size)
}

/// The common blocks in order. The stack holds what is still to be searched, or a block that was found.
fn common_blocks(old: &[&str], new: &[&str]) -> Vec<(usize, usize, usize)> {
    enum Task {
        Search(Range<usize>, Range<usize>),
        Found(usize, usize, usize),
    }
    let places = places(new);
    let mut blocks: Vec<(usize, usize, usize)> = Vec::new();
    let mut stack = vec![Task::Search(0..old.len(), 0..new.len())];
    while let Some(task) = stack.pop() {
        match task {
            Task::Search(a, b) => {
                let (i, j, size) = longest(old, new, &places, &a, &b);
                if size > 0 {
                    if i + size < a.end && j + size < b.end {
                        stack.push(Task::Search(i + size..a.end, j + size..b.end));
                    }
                    stack.push(Task::Found(i, j, size));
                    if a.start < i && b.start < j {
                        stack.push(Task::Search(a.start..i, b.start..j));
                    }
                }
            }
            Task::Found(i, j, size) => match blocks.last_mut() {
                Some(last) if last.0 + last.2 == i && last.1 + last.2 == j => last.2 += size,
                _ => blocks.push((i, j, size)),
            },
        }
    }
    blocks
}

fn stretches(old: &[&str], new: &[&str]) -> Vec<Stretch> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    let end = (old.len(), new.len(), 0);
    for (a, b, size) in common_blocks(old, new).into_iter().chain([end]) {
        if i < a || j < b {
            out.push(Stretch { same: false, old: i..a, new: j..b });
        }
        if size > 0 {
            out.push(Stretch { same: true, old: a..a + size, new: b..b + size });
        }
        (i, j) = (a + size, b + size);
    }
    out
}

/// The stretches of each difference with its context.
fn groups(mut stretches: Vec<Stretch>) -> Vec<Vec<Stretch>> {
    let tail = |range: &Range<usize>| range.end.saturating_sub(CONTEXT).max(range.start)..range.end;
    let head = |range: &Range<usize>| range.start..range.end.min(range.start + CONTEXT);
    if let Some(first) = stretches.first_mut().filter(|s| s.same) {
        (first.old, first.new) = (tail(&first.old), tail(&first.new));
    }
    if let Some(last) = stretches.last_mut().filter(|s| s.same) {
        (last.old, last.new) = (head(&last.old), head(&last.new));
    }
    let mut groups = Vec::new();
    let mut group: Vec<Stretch> = Vec::new();
    for stretch in stretches {
        if stretch.same && stretch.old.len() > 2 * CONTEXT {
            group.push(Stretch { same: true, old: head(&stretch.old), new: head(&stretch.new) });
            groups.push(std::mem::take(&mut group));
            group.push(Stretch { same: true, old: tail(&stretch.old), new: tail(&stretch.new) });
        } else {
            group.push(stretch);
        }
    }
    if group.iter().any(|s| !s.same) {
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diffs() {
        let cases = [
            ("a\nb\nc", "a\nb\nc", ""),
            ("a\nb\nc", "a\nx\nc", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"),
            ("a", "b", "@@ -1 +1 @@\n-a\n+b\n"),
            ("1\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\n6\n7", "@@ -4,3 +4,4 @@\n 4\n 5\n 6\n+7\n"),
            (
                "x\n1\n2\n3\n4\n5\n6\n7\nz",
                "y\n1\n2\n3\n4\n5\n6\n7\nw",
                "@@ -1,4 +1,4 @@\n-x\n+y\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-z\n+w\n",
            ),
        ];
        for (old, new, expected) in cases {
            assert_eq!(unified(old, new), expected);
        }
    }
}
