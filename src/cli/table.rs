//! Tables as `kubectl` prints them (aligned columns, no borders), and times for people.

use comfy_table::{ContentArrangement, Table, presets};

use crate::model::Timestamp;

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

/// `1 host`, `2 hosts`.
#[must_use]
pub(super) fn counted(count: impl std::fmt::Display, what: &str) -> String {
    let count = count.to_string();
    format!("{count} {what}{}", if count == "1" { "" } else { "s" })
}

/// How long ago: `5s`, `12m`, `3h`, `8d`.
#[must_use]
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// From one time to another: hundredths of a second below ten seconds, else as [`age`].
#[must_use]
pub(super) fn duration(start: Timestamp, end: Timestamp) -> String {
    let milliseconds = end.as_millisecond().saturating_sub(start.as_millisecond()).max(0);
    if milliseconds < 10_000 {
        return format!("{}.{:02}s", milliseconds / 1000, milliseconds % 1000 / 10);
    }
    age(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).expect("a time");
        assert_eq!(age(at(0), at(59_999)), "59s");
        assert_eq!(age(at(0), at(3_600_000)), "1h");
        assert_eq!(age(at(5000), at(0)), "0s");
        assert_eq!(duration(at(0), at(1234)), "1.23s");
        assert_eq!(duration(at(0), at(61_000)), "1m");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["tim-pi".into(), String::new()], vec!["a".into(), "x y".into()]];
        assert_eq!(
            table(&["NAME", "LABELS"], &rows),
            "NAME     LABELS\ntim-pi   -\na        x y\n"
        );
    }
}
