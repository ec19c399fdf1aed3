//! Draws a chart of a router whose first target is killed: the calls that each target answers, and the time to the first token.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::plot::COLOURS;
use super::table::short;
use super::targets::{Outcome, PARTS, Quarter};

const WIDTH: u32 = 960;
const ROW: u32 = 250;
const TITLE: u32 = 64;

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a panel: its name and its value in a quarter of a second.
type Line = (String, RGBColor, Box<dyn Fn(&Quarter) -> f64>);

/// Returns the chart as SVG, or the drawing library's error.
pub(super) fn svg(outcome: &Outcome, name: &str) -> Result<String, String> {
    let mut svg = String::new();
    {
        let size = (WIDTH, TITLE + 2 * ROW);
        let all = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&all, outcome, name).map_err(|e| e.to_string())?;
        all.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

fn draw(
    all: &Drawing<'_>,
    outcome: &Outcome,
    name: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    all.fill(&WHITE)?;
    let heading = |size: u32| ("sans-serif", size).into_font();
    let without: usize = outcome.errors_without_content.values().sum();
    let after: usize = outcome.errors_after_content.values().sum();
    let title = format!(
        "Target 0 is killed and comes back: {} calls moved, {after} failed after their first token, {without} before it",
        outcome.moved
    );
    all.draw_text(&title, &heading(18).into_text_style(all), (16, 10))?;
    let name = format!("{name}; {} calls a second", outcome.rate);
    all.draw_text(&name, &heading(13).color(&BLACK.mix(0.7)), (16, 38))?;
    let (_, grid) = all.split_vertically(TITLE);
    let rows = grid.split_evenly((2, 1));
    let targets = outcome.quarters.first().map_or(0, |of| of.answered.len());
    let mut answered: Vec<Line> = (0..targets)
        .map(|n| -> Line {
            let answered = move |of: &Quarter| (of.answered[n] * PARTS) as f64;
            (format!("target {n}"), COLOURS[n], Box::new(answered))
        })
        .collect();
    let errors = |of: &Quarter| (of.errors * PARTS) as f64;
    answered.push(("errors".into(), COLOURS[6], Box::new(errors)));
    panel(&rows[0], outcome, "calls a second, by target", &answered)?;
    let slowest: Line = (
        "slowest".into(),
        COLOURS[0],
        Box::new(|of| of.slowest_first_token),
    );
    panel(&rows[1], outcome, "slowest first token, ms", &[slowest])
}

fn panel(
    area: &Drawing<'_>,
    outcome: &Outcome,
    title: &str,
    lines: &[Line],
) -> Result<(), Box<dyn std::error::Error>> {
    let quarters = &outcome.quarters;
    let end = quarters.len() as f64 / PARTS as f64;
    let values = lines
        .iter()
        .flat_map(|(_, _, value)| quarters.iter().map(value));
    let most = values.fold(1.0, f64::max) * 1.15;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15).into_font())
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..end * 1.12, 0.0..most)?;
    let dead = [(outcome.killed_at, 0.0), (outcome.back_at, most)];
    chart.draw_series([Rectangle::new(dead, BLACK.mix(0.07).filled())])?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .y_labels(5)
        .x_label_formatter(&|at| format!("{} s", short(*at)))
        .y_label_formatter(&|value| short(*value))
        .label_style(("sans-serif", 13))
        .draw()?;
    let mut ends = Vec::new();
    for (name, colour, value) in lines {
        let at = |(n, of): (usize, &Quarter)| ((n as f64 + 0.5) / PARTS as f64, value(of));
        let points: Vec<(f64, f64)> = quarters.iter().enumerate().map(at).collect();
        ends.extend(points.last().map(|(_, end)| (*end, name, colour)));
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
    }
    // Names must not overlap.
    ends.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let mut height = f64::MIN;
    for (value, name, colour) in ends {
        height = value.max(height + most * 0.09);
        let style = ("sans-serif", 13).into_font().color(colour);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        chart.draw_series([Text::new(name.clone(), (end * 1.01, height), style)])?;
    }
    Ok(())
}
