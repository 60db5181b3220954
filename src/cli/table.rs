//! Tables as `kubectl` prints them: aligned columns, no borders.

use comfy_table::{ContentArrangement, Table, presets};

/// Lays out rows below a heading; empty cells are shown as `-`.
#[must_use]
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading);
    for row in rows {
        table.add_row(row.iter().map(|cell| if cell.is_empty() { "-" } else { cell.as_str() }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["tim-pi".into(), String::new()], vec!["a".into(), "x y".into()]];
        assert_eq!(
            table(&["NAME", "LABELS"], &rows),
            "NAME     LABELS\ntim-pi   -\na        x y\n"
        );
    }
}
