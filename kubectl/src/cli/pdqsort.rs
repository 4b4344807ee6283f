//! The sorting algorithm of Go's `sort.Sort`, so that rows that compare equal come out in the order in which upstream's
//! kubectl prints them. It is Orson Peters' pattern-defeating quicksort with Go's constants: not stable, but
//! deterministic. Unlike the standard library's sorts it does not panic when the order is not total, which the orders
//! of `--sort-by` (quantities beside words) are not. It never allocates.

use std::ops::Range;

/// Up to this many elements insertion sort is faster, and stable.
const INSERTION_SORT_LIMIT: usize = 12;
/// From this length on a pivot is the median of three medians.
const NINTHER_FROM: usize = 50;
/// So many exchanges of neighbours are tried before an almost sorted range counts as unsorted.
const PARTIAL_INSERTION_STEPS: usize = 5;
/// How many exchanges the choice of a pivot makes at most: in a descending range it makes all of them.
const PIVOT_EXCHANGES: usize = 12;

/// Sorts `items` by `less` as Go's `sort.Sort` does.
pub fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let range = 0..items.len();
    let limit = bit_length(items.len());
    Sorter { items, less }.quicksort(range, limit);
}

/// What the choice of a pivot tells about the order of a range.
#[derive(Clone, Copy, PartialEq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

struct Sorter<'a, T, F> {
    items: &'a mut [T],
    less: F,
}

impl<T, F: Fn(&T, &T) -> bool> Sorter<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.items[a], &self.items[b])
    }

    /// `limit` is how many unbalanced partitions are allowed before heap sort takes over.
    fn quicksort(&mut self, mut range: Range<usize>, mut limit: u32) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            if range.len() <= INSERTION_SORT_LIMIT {
                return self.insertion_sort(range);
            }
            if limit == 0 {
                return self.heap_sort(range);
            }
            if !balanced {
                self.break_patterns(&range);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(&range);
            if hint == Hint::Decreasing {
                self.items[range.clone()].reverse();
                pivot = range.end - 1 - (pivot - range.start);
                hint = Hint::Increasing;
            }
            if balanced && partitioned && hint == Hint::Increasing && self.partial_insertion_sort(&range) {
                return;
            }
            // The element before the range is not greater than any in it: if the pivot equals it, all that equal
            // the pivot are done.
            if range.start > 0 && !self.less(range.start - 1, pivot) {
                range.start = self.partition_equal(&range, pivot);
                continue;
            }
            let middle;
            (middle, partitioned) = self.partition(&range, pivot);
            let (left, right) = (range.start..middle, middle + 1..range.end);
            balanced = left.len().min(range.end - middle) >= range.len() / 8;
            if left.len() < range.end - middle {
                self.quicksort(left, limit);
                range = right;
            } else {
                self.quicksort(right, limit);
                range = left;
            }
        }
    }

    fn insertion_sort(&mut self, range: Range<usize>) {
        for i in range.start + 1..range.end {
            self.sink_back(range.start, i);
        }
    }

    /// Moves the element at `at` towards `floor` until it is not less than the one before it.
    fn sink_back(&mut self, floor: usize, at: usize) {
        let mut j = at;
        while j > floor && self.less(j, j - 1) {
            self.items.swap(j, j - 1);
            j -= 1;
        }
    }

    fn heap_sort(&mut self, range: Range<usize>) {
        let length = range.len();
        for root in (0..=(length - 1) / 2).rev() {
            self.sift_down(root, length, range.start);
        }
        for end in (0..length).rev() {
            self.items.swap(range.start, range.start + end);
            self.sift_down(0, end, range.start);
        }
    }

    fn sift_down(&mut self, mut root: usize, length: usize, first: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= length {
                return;
            }
            if child + 1 < length && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.items.swap(first + root, first + child);
            root = child;
        }
    }

    /// Puts what is less than the pivot before it and returns where it ends, and whether nothing had to move.
    fn partition(&mut self, range: &Range<usize>, pivot: usize) -> (usize, bool) {
        let first = range.start;
        self.items.swap(first, pivot);
        let (mut i, mut j) = (first + 1, range.end - 1);
        let mut already = true;
        loop {
            while i <= j && self.less(i, first) {
                i += 1;
            }
            while i <= j && !self.less(j, first) {
                j -= 1;
            }
            if i > j {
                self.items.swap(j, first);
                return (j, already);
            }
            already = false;
            self.items.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Puts what equals the pivot first and returns where the greater ones begin.
    fn partition_equal(&mut self, range: &Range<usize>, pivot: usize) -> usize {
        let first = range.start;
        self.items.swap(first, pivot);
        let (mut i, mut j) = (first + 1, range.end - 1);
        loop {
            while i <= j && !self.less(first, i) {
                i += 1;
            }
            while i <= j && self.less(first, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.items.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Sorts a range that is almost sorted; false if it was not.
    fn partial_insertion_sort(&mut self, range: &Range<usize>) -> bool {
        let mut i = range.start + 1;
        for _ in 0..PARTIAL_INSERTION_STEPS {
            while i < range.end && !self.less(i, i - 1) {
                i += 1;
            }
            if i == range.end {
                return true;
            }
            if range.len() < NINTHER_FROM {
                return false;
            }
            self.items.swap(i, i - 1);
            // As in Go the smaller one may move past the start of the range, to where the whole slice begins: what
            // stands there is not greater, so it does not.
            if i - range.start >= 2 {
                self.sink_back(0, i - 1);
            }
            if range.end - i >= 2 {
                self.rise(i + 1, range.end);
            }
        }
        false
    }

    /// Moves the element before `from` on while the next one is less.
    fn rise(&mut self, from: usize, end: usize) {
        for j in from..end {
            if !self.less(j, j - 1) {
                return;
            }
            self.items.swap(j, j - 1);
        }
    }

    /// Scatters three elements around the middle, which breaks what made the partitions unbalanced.
    fn break_patterns(&mut self, range: &Range<usize>) {
        let length = range.len();
        if length < 8 {
            return;
        }
        let mut random = length as u64;
        let mask = (1_u64 << bit_length(length)) - 1;
        let middle = range.start + length / 4 * 2;
        for i in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut other = usize::try_from(random & mask).unwrap_or_default();
            if other >= length {
                other -= length;
            }
            self.items.swap(middle - 1 + i, range.start + other);
        }
    }

    fn choose_pivot(&self, range: &Range<usize>) -> (usize, Hint) {
        let length = range.len();
        let mut exchanges = 0;
        let [mut i, mut j, mut k] = [1, 2, 3].map(|quarter| range.start + length / 4 * quarter);
        if length >= NINTHER_FROM {
            i = self.median(i - 1, i, i + 1, &mut exchanges);
            j = self.median(j - 1, j, j + 1, &mut exchanges);
            k = self.median(k - 1, k, k + 1, &mut exchanges);
        }
        j = self.median(i, j, k, &mut exchanges);
        match exchanges {
            0 => (j, Hint::Increasing),
            PIVOT_EXCHANGES => (j, Hint::Decreasing),
            _ => (j, Hint::Unknown),
        }
    }

    fn median(&self, a: usize, b: usize, c: usize, exchanges: &mut usize) -> usize {
        let (a, b) = self.ordered(a, b, exchanges);
        let (b, _) = self.ordered(b, c, exchanges);
        self.ordered(a, b, exchanges).1
    }

    fn ordered(&self, a: usize, b: usize, exchanges: &mut usize) -> (usize, usize) {
        if self.less(b, a) {
            *exchanges += 1;
            return (b, a);
        }
        (a, b)
    }
}

/// How many bits the number takes.
fn bit_length(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 7] = [12, 13, 50, 64, 257, 1000, 5000];

    /// Of each pattern of [`keys`] and length, the FNV-1a hash (over whole words) of the order in which Go 1.26's
    /// `sort.Sort` leaves the elements.
    const ORDERS: [[u64; 7]; 10] = [
        [
            2_365_051_358_490_682_545,
            156_620_119_755_183_797,
            7_655_934_377_803_844_898,
            16_385_816_242_243_399_503,
            13_353_812_977_011_002_521,
            111_976_406_972_302_773,
            592_971_275_490_188_883,
        ],
        [
            5_592_837_067_021_306_553,
            1_095_040_005_737_615_907,
            10_632_451_291_869_011_798,
            10_678_876_593_753_370_955,
            8_439_076_406_407_340_083,
            14_299_058_315_139_530_579,
            14_977_573_575_604_251_803,
        ],
        [
            3_277_855_377_104_666_553,
            13_358_019_448_675_500_175,
            17_263_648_858_073_257_450,
            9_468_854_841_739_140_837,
            6_544_720_726_727_242_719,
            10_992_378_149_551_695_325,
            8_360_184_612_080_058_621,
        ],
        [
            11_543_660_817_686_225_913,
            2_103_081_401_481_817_151,
            234_762_020_587_910_980,
            2_125_458_919_495_073_957,
            5_345_808_891_333_005_791,
            12_126_232_017_019_076_277,
            15_435_791_688_899_879_477,
        ],
        [
            6_129_306_069_090_973_079,
            11_812_016_392_599_217_035,
            5_936_999_309_715_905_658,
            16_640_971_799_192_984_951,
            1_646_568_211_997_019_073,
            12_950_682_035_652_376_723,
            1_385_640_790_670_252_515,
        ],
        [
            3_277_855_377_104_666_553,
            13_358_019_448_675_500_175,
            17_263_648_858_073_257_450,
            9_468_854_841_739_140_837,
            6_544_720_726_727_242_719,
            10_992_378_149_551_695_325,
            8_360_184_612_080_058_621,
        ],
        [
            9_802_224_392_535_016_143,
            5_790_880_635_147_466_507,
            16_848_902_031_331_261_650,
            13_113_344_811_010_640_685,
            13_810_870_109_366_266_759,
            4_851_555_806_469_724_209,
            7_642_627_187_948_440_145,
        ],
        [
            4_442_357_552_439_928_669,
            3_923_183_861_818_216_099,
            7_917_468_991_956_160_250,
            17_175_733_943_285_682_837,
            17_872_861_914_947_261_759,
            14_614_176_589_272_720_903,
            17_324_735_145_537_658_901,
        ],
        [
            4_817_336_188_603_342_455,
            2_969_650_371_166_038_683,
            17_295_647_456_548_645_794,
            12_478_014_137_312_727_333,
            16_772_671_046_540_296_057,
            671_905_345_271_020_033,
            3_742_629_058_417_248_997,
        ],
        [
            6_321_528_304_464_203_599,
            4_421_508_406_007_447_257,
            10_611_401_131_332_890_148,
            15_106_280_408_762_505_579,
            10_198_105_926_082_284_407,
            16_291_090_488_573_766_801,
            6_104_755_981_368_015_253,
        ],
    ];

    fn keys(pattern: usize, length: usize) -> Vec<(usize, usize)> {
        let mut random = (length * 7 + pattern + 1) as u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % below as u64).unwrap_or_default()
        };
        let key = |i: usize| match pattern {
            0 => next(length),
            1 => next(5),
            2 => i,
            3 => length - i,
            4 => i % 7,
            5 => 0,
            6 => {
                if i < length / 2 {
                    i
                } else {
                    length - i
                }
            }
            7 => i + if i % 17 == 3 { 5 } else { 0 },
            8 => i * i % 11,
            _ => (length - i) / 3,
        };
        (0..length).map(key).enumerate().map(|(i, key)| (key, i)).collect()
    }

    #[test]
    fn equal_elements_come_out_in_the_order_of_go() {
        for (pattern, expected) in ORDERS.iter().enumerate() {
            let found = LENGTHS.map(|length| {
                let mut items = keys(pattern, length);
                sort(&mut items, |a, b| a.0 < b.0);
                items.iter().fold(14_695_981_039_346_656_037_u64, |hash, (_, i)| {
                    (hash ^ *i as u64).wrapping_mul(1_099_511_628_211)
                })
            });
            assert_eq!(&found, expected, "pattern {pattern}");
        }
    }
}
