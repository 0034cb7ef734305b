//! The pictures, as SVG.

use std::path::Path;

use anyhow::anyhow;
use plotters::{
    chart::ChartBuilder,
    drawing::IntoDrawingArea,
    element::{Rectangle, Text},
    prelude::{Color, IntoFont, IntoLogRange, LineSeries, RGBColor, SVGBackend, WHITE},
    style::{
        TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

const SIZE: (u32, u32) = (720, 300);
const GREEN: RGBColor = RGBColor(31, 143, 122);
const GREY: RGBColor = RGBColor(84, 96, 108);

/// A bar with its label.
pub struct Bar {
    /// The text below the bar.
    pub label: String,
    /// Its height; more than zero.
    pub value: f64,
}

/// Draws bars on a logarithmic scale that begins at 1.
///
/// # Errors
/// The file cannot be written.
pub fn bars(path: &Path, title: &str, bars: &[Bar]) -> anyhow::Result<()> {
    let failed = |error| anyhow!("{}: {error}", path.display());
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let highest = bars.iter().map(|bar| bar.value).fold(10.0, f64::max) * 2.0;
        let wide = bars.len() as f64;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(28)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..wide, (1.0..highest).log_scale())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .light_line_style(WHITE.mix(0.0))
            .y_label_formatter(&|value| format!("{value} ×"))
            .draw()?;
        let centred = |vertical| {
            TextStyle::from(("sans-serif", 14).into_font()).color(&GREY).pos(Pos::new(HPos::Center, vertical))
        };
        for (place, bar) in bars.iter().enumerate() {
            let (left, middle) = (place as f64 + 0.2, place as f64 + 0.5);
            chart.draw_series([Rectangle::new([(left, 1.0), (left + 0.6, bar.value)], GREEN.filled())])?;
            let value = format!("{:.0} ×", bar.value);
            chart.draw_series([Text::new(value, (middle, bar.value * 1.05), centred(VPos::Bottom))])?;
            chart.draw_series([Text::new(bar.label.clone(), (middle, 0.95), centred(VPos::Top))])?;
        }
        root.present()?;
        Ok(())
    };
    draw().map_err(failed)
}

/// Draws a line through points, with the names of the axes; both scales begin at zero.
///
/// # Errors
/// The file cannot be written.
pub fn line(path: &Path, title: &str, (across, up): (&str, &str), points: &[(f64, f64)]) -> anyhow::Result<()> {
    let failed = |error| anyhow!("{}: {error}", path.display());
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let most = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(1.0, f64::max) * 1.1;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..most(|point| point.0), 0.0..most(|point| point.1))?;
        chart.configure_mesh().light_line_style(WHITE.mix(0.0)).x_desc(across).y_desc(up).draw()?;
        chart.draw_series(LineSeries::new(points.iter().copied(), GREEN.stroke_width(2)).point_size(4))?;
        root.present()?;
        Ok(())
    };
    draw().map_err(failed)
}
