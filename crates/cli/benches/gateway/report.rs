//! The table that the benchmark prints, in Markdown.

use crate::target::Target;

/// The values of one figure: for each target, those of its rounds.
pub type Rounds = Vec<Vec<f64>>;

pub struct Report {
    rows: Vec<Vec<String>>,
}

impl Report {
    pub fn new(targets: &[Target]) -> Self {
        let names = targets.iter().map(|target| target.name.to_owned());
        let header = std::iter::once(String::new()).chain(names).collect();
        Self { rows: vec![header] }
    }

    /// Adds a row of what each target takes by itself.
    pub fn absolute(&mut self, title: &str, values: &Rounds) {
        self.row(title, values.iter().cloned());
    }

    /// Adds a row of the differences from the first target, round by round.
    pub fn added(&mut self, title: &str, values: &Rounds) {
        self.compared(title, values, |value, direct| value - direct);
    }

    /// Adds a row of the ratios to the first target, round by round.
    pub fn ratio(&mut self, title: &str, values: &Rounds) {
        self.compared(title, values, |value, direct| value / direct);
    }

    fn compared(&mut self, title: &str, values: &Rounds, compare: impl Fn(f64, f64) -> f64) {
        let (direct, gateways) = values.split_at(1);
        let compared = gateways.iter().map(|rounds| {
            let pairs = rounds.iter().zip(&direct[0]);
            pairs
                .map(|(value, direct)| compare(*value, *direct))
                .collect()
        });
        let all: Rounds = direct.iter().cloned().chain(compared).collect();
        self.row(title, all.into_iter());
    }

    fn row(&mut self, title: &str, values: impl Iterator<Item = Vec<f64>>) {
        let cells = values.map(spread);
        let row: Vec<_> = std::iter::once(title.to_owned()).chain(cells).collect();
        eprintln!("{}", row.join(" | "));
        self.rows.push(row);
    }

    pub fn print(&self) {
        for (index, row) in self.rows.iter().enumerate() {
            println!("| {} |", row.join(" | "));
            if index == 0 {
                println!("|{}", " --- |".repeat(row.len()));
            }
        }
    }
}

/// The median, with the lowest and the highest if there are several.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let text = |value: f64| match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    match values.as_slice() {
        [] => String::new(),
        [value] => text(*value),
        [lowest, .., highest] => format!(
            "{} ({} to {})",
            text(values[values.len() / 2]),
            text(*lowest),
            text(*highest)
        ),
    }
}
