//! Draws a chart of the measurements: the times of calls and the calls per second, by the size of the pool.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::measurement::Measurement;
use super::plan::{Load, Reuse};
use super::recommend::Recommendation;
use super::table::short;

const WIDTH: u32 = 960;
const ROW: u32 = 340;
const TITLE: u32 = 64;

/// Okabe and Ito's palette, which people with colour blindness can tell apart.
pub(super) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A panel of the chart, and the value that it shows.
struct Panel {
    title: &'static str,
    value: fn(&Measurement) -> f64,
}

const PANELS: [Panel; 2] = [
    Panel {
        title: "95 % of calls end within, ms",
        value: |measurement| measurement.total.p95,
    },
    Panel {
        title: "calls a second",
        value: |measurement| measurement.calls_per_second,
    },
];

/// Returns the chart as SVG, or the drawing library's error.
pub(super) fn svg(
    measurements: &[Measurement],
    server: &str,
    recommendation: Option<&Recommendation>,
) -> Result<String, String> {
    let mut reuses: Vec<Reuse> = Vec::new();
    for measurement in measurements {
        if !reuses.contains(&measurement.plan.reuse) {
            reuses.push(measurement.plan.reuse);
        }
    }
    let mut svg = String::new();
    let height = TITLE + ROW * reuses.len() as u32;
    {
        let all = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&all, measurements, &reuses, server, recommendation).map_err(|e| e.to_string())?;
        all.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

fn draw(
    all: &Drawing<'_>,
    measurements: &[Measurement],
    reuses: &[Reuse],
    server: &str,
    recommendation: Option<&Recommendation>,
) -> Result<(), Box<dyn std::error::Error>> {
    all.fill(&WHITE)?;
    let heading = |size: u32| ("sans-serif", size).into_font();
    let chosen = recommendation.map_or_else(String::new, |r| format!(": take {}", r.connections));
    all.draw_text(
        &format!("Calls by the size of their pool{chosen}"),
        &heading(20).into_text_style(all),
        (16, 10),
    )?;
    all.draw_text(server, &heading(13).color(&BLACK.mix(0.7)), (16, 38))?;
    let (_, grid) = all.split_vertically(TITLE);
    let areas = grid.split_evenly((reuses.len(), PANELS.len()));
    for (i, area) in areas.iter().enumerate() {
        let reuse = reuses[i / PANELS.len()];
        let shown: Vec<&Measurement> = measurements
            .iter()
            .filter(|measurement| measurement.plan.reuse == reuse && measurement.total.count > 0)
            .collect();
        // The recommendation is for the first row only.
        let chosen = recommendation.filter(|_| i < PANELS.len());
        let chosen = chosen.map(|r| r.connections);
        panel(area, &shown, reuse, &PANELS[i % PANELS.len()], chosen)?;
    }
    Ok(())
}

fn panel(
    area: &Drawing<'_>,
    measurements: &[&Measurement],
    reuse: Reuse,
    &Panel { title, value }: &Panel,
    chosen: Option<u16>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes: Vec<u16> = measurements
        .iter()
        .map(|measurement| measurement.plan.connections)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let Some(last) = sizes.len().checked_sub(1) else {
        return Ok(());
    };
    let most = measurements
        .iter()
        .map(|measurement| value(measurement))
        .fold(f64::MIN_POSITIVE, f64::max);
    // Sizes are drawn at equal distances, since they are mostly multiples of each other. The space on the right is for the names of the lines.
    let (left, right) = (-0.3, last as f64 + 0.3 + 0.35 * (last as f64 + 1.0));
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{title} ({})", connections(reuse)),
            ("sans-serif", 15).into_font(),
        )
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(left..right, 0.0..most * 1.12)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(0)
        .y_labels(5)
        .y_label_formatter(&|value| short(*value))
        .label_style(("sans-serif", 13))
        .draw()?;
    // The library places labels at round numbers only, so these are drawn separately.
    let below = |text: &str, at: f64, down: i32, colour: RGBAColor| {
        let (x, y) = chart.plotting_area().map_coordinate(&(at, 0.0));
        let (left, top) = area.get_base_pixel();
        let style = ("sans-serif", 13).into_font().color(&colour);
        let style = style.pos(Pos::new(HPos::Center, VPos::Top));
        area.draw_text(text, &style, (x - left, y - top + down))
    };
    for (i, size) in sizes.iter().enumerate() {
        below(&size.to_string(), i as f64, 6, BLACK.to_rgba())?;
    }
    below("max_connections", last as f64 / 2.0, 24, BLACK.mix(0.7))?;
    if let Some(i) = chosen.and_then(|chosen| sizes.iter().position(|size| *size == chosen)) {
        let up = [(i as f64, 0.0), (i as f64, most * 1.12)];
        chart.draw_series(LineSeries::new(up, BLACK.mix(0.15).stroke_width(8)))?;
    }
    let mut names = Vec::new();
    for ((load, points), colour) in lines(measurements, &sizes, value)
        .into_iter()
        .zip(COLOURS.iter().cycle())
    {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        chart.draw_series(line)?;
        let dots = points
            .iter()
            .map(|point| Circle::new(*point, 4, colour.filled()));
        chart.draw_series(dots)?;
        names.extend(
            points
                .last()
                .map(|(_, end)| (*end, load.to_string(), colour)),
        );
    }
    // Names must not overlap. Names of lines that end at the same height are in the order of their loads.
    let apart = most * 0.07;
    names.sort_by_key(|(end, ..)| (end / apart).round() as i64);
    let mut height = f64::MIN;
    for (end, name, colour) in names {
        height = end.max(height + apart);
        let style = ("sans-serif", 13).into_font().color(colour);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        chart.draw_series([Text::new(name, (last as f64 + 0.12, height), style)])?;
    }
    Ok(())
}

/// Returns the points of a line for each load. Their x coordinates are indices into `sizes`.
fn lines(
    measurements: &[&Measurement],
    sizes: &[u16],
    value: fn(&Measurement) -> f64,
) -> Vec<(Load, Vec<(f64, f64)>)> {
    let mut lines: Vec<(Load, Vec<(f64, f64)>)> = Vec::new();
    for measurement in measurements {
        let load = measurement.plan.load;
        let index = sizes
            .iter()
            .position(|size| *size == measurement.plan.connections);
        let point = (index.unwrap_or_default() as f64, value(measurement));
        match lines.iter_mut().find(|(known, _)| *known == load) {
            Some((_, points)) => points.push(point),
            None => lines.push((load, vec![point])),
        }
    }
    for (_, points) in &mut lines {
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    }
    lines
}

fn connections(reuse: Reuse) -> &'static str {
    match reuse {
        Reuse::Warm => "connections open before",
        Reuse::Cold => "connections opened when needed",
        Reuse::Off => "a connection for each call",
    }
}
