//! Tables and times for people.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::model::Timestamp;

/// A table without lines, columns aligned and two spaces apart; never wrapped, so that a line is a row.
pub(super) fn table(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(titles.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.to_string();
    lines.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// How long ago: `5s`, `12m`, `3h`, `8d`.
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// From one time to another: milliseconds below ten seconds, else as [`age`].
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
    fn columns_align_and_lines_end_clean() {
        let rows = vec![vec!["a".into(), "x".into()], vec!["long".into(), String::new()]];
        assert_eq!(table(&["NAME", "B"], rows), "NAME  B\na     x\nlong\n");
    }

    #[test]
    fn times_read_well() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).expect("a time");
        assert_eq!(age(at(0), at(59_999)), "59s");
        assert_eq!(age(at(0), at(3_600_000)), "1h");
        assert_eq!(age(at(5000), at(0)), "0s");
        assert_eq!(duration(at(0), at(1234)), "1.23s");
        assert_eq!(duration(at(0), at(61_000)), "1m");
    }
}
