//! Elastic tab stops: cells end at a tab, and consecutive lines share the width of a column.
//! Corresponds to text/tabwriter with the `RememberWidths` extension that kubectl uses.

/// Collects text and aligns its columns.
#[derive(Clone, Debug)]
pub struct TabWriter {
    min_width: usize,
    padding: usize,
    remember: bool,
    remembered: Vec<usize>,
    text: String,
}

impl TabWriter {
    /// As `printers.GetNewTabWriter`: for tables.
    pub fn table() -> Self {
        Self { min_width: 6, padding: 3, remember: true, remembered: Vec::new(), text: String::new() }
    }

    /// As describe's writer.
    pub fn describe() -> Self {
        Self::new(0, 2)
    }

    /// Columns of at least `min_width`, `padding` included.
    pub fn new(min_width: usize, padding: usize) -> Self {
        Self { min_width, padding, remember: false, remembered: Vec::new(), text: String::new() }
    }

    /// Appends text.
    pub fn write(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Forgets the widths of earlier blocks.
    pub fn forget_widths(&mut self) {
        self.remembered.clear();
    }

    /// Aligns and returns what was written since the last call.
    pub fn flush(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return text;
        }
        let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
        let mut out = String::with_capacity(text.len() * 2);
        let mut widths = Vec::new();
        self.format(&lines, 0, lines.len(), &mut widths, &mut out);
        out
    }

    fn format(&mut self, lines: &[Vec<&str>], first: usize, end: usize, widths: &mut Vec<usize>, out: &mut String) {
        let column = widths.len();
        let mut start = first;
        let mut this = first;
        while this < end {
            if column + 1 >= lines[this].len() {
                this += 1;
                continue;
            }
            write_lines(lines, start, this, widths, out);
            start = this;
            let mut width = self.min_width;
            while this < end && column + 1 < lines[this].len() {
                width = width.max(lines[this][column].chars().count() + self.padding);
                this += 1;
            }
            let width = self.remembered_width(column, width, widths);
            widths.push(width);
            self.format(lines, start, this, widths, out);
            widths.pop();
            start = this;
        }
        write_lines(lines, start, end, widths, out);
    }

    fn remembered_width(&mut self, column: usize, width: usize, widths: &[usize]) -> usize {
        if !self.remember {
            return width;
        }
        while self.remembered.len() < column {
            self.remembered.push(widths[self.remembered.len()]);
        }
        match self.remembered.get_mut(column) {
            None => {
                self.remembered.push(width);
                width
            }
            Some(known) => {
                *known = (*known).max(width);
                *known
            }
        }
    }
}

fn write_lines(lines: &[Vec<&str>], first: usize, end: usize, widths: &[usize], out: &mut String) {
    for (i, line) in lines.iter().enumerate().take(end).skip(first) {
        for (j, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(j)
                && j + 1 < line.len()
            {
                let pad = width.saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', pad));
            }
        }
        if i + 1 < lines.len() {
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TabWriter;

    #[test]
    fn aligns_blocks() {
        let mut w = TabWriter::table();
        w.write("NAME\tREADY\tAGE\n");
        w.write("a-long-name\t1/1\t5d\n");
        assert_eq!(w.flush(), "NAME          READY   AGE\na-long-name   1/1     5d\n");
        w.write("b\t0/1\t1s\n");
        assert_eq!(w.flush(), "b             0/1     1s\n");
    }

    #[test]
    fn describe_form() {
        let mut w = TabWriter::describe();
        w.write("Name:\tx\nLabels:\t<none>\nPlain\nA:\tb\n");
        assert_eq!(w.flush(), "Name:    x\nLabels:  <none>\nPlain\nA:  b\n");
    }
}
