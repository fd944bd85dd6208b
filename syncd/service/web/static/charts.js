// Draws each figure.chart from the table that it holds, and again when the table or the colours changed.
"use strict";

const HEIGHT = 150;
const A_DAY_S = 86400;
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const drawn = new Map(); // figure → { plot, text }

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const padded = (number) => String(number).padStart(2, "0");
const hour = (date) => `${padded(date.getHours())}:${padded(date.getMinutes())}`;
const weekday = (date) => `${DAYS[date.getDay()]} ${date.getDate()}`;
const moment = (at, isLong) => (isLong ? `${weekday(new Date(at * 1000))} ` : "") + hour(new Date(at * 1000));

function spoken(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${+(seconds / size).toFixed(1)} ${unit}`;
  }
  return `${+seconds.toFixed(1)} s`;
}

function compact(number) {
  return Math.abs(number) >= 1000 ? `${+(number / 1000).toFixed(1)}k` : String(+number.toFixed(1));
}

function read(figure) {
  const table = figure.querySelector("details table");
  const times = [...table.querySelectorAll("tbody time")].map((time) => Date.parse(time.dateTime) / 1000);
  const series = [...table.querySelectorAll("thead [data-tone]")].map((head, place) => ({
    name: head.textContent,
    tone: head.dataset.tone,
    values: [...table.querySelectorAll("tbody tr")].map((row) => {
      const data = row.cells[place + 1].querySelector("data");
      return data ? Number(data.value) : null;
    }),
  }));
  return { times, series };
}

// Bars stand on each other: each is drawn from the ground up to its sum, the highest first.
function stacked(series) {
  let sums = series[0].values.map(() => 0);
  return series.map(({ values }) => (sums = sums.map((sum, place) => sum + (values[place] ?? 0)))).reverse();
}

function options(figure, series) {
  const bars = figure.dataset.chart === "bars";
  const half = Number(figure.dataset.slot) / 2;
  const isLong = figure.dataset.slot * series[0].values.length > 2 * A_DAY_S;
  const words = figure.dataset.unit === "s" ? spoken : compact;
  const ordered = bars ? [...series].reverse() : series;
  const axis = { stroke: token("quiet"), font: `11px ${getComputedStyle(document.body).fontFamily}` };
  return {
    width: figure.querySelector(".plot").clientWidth,
    height: HEIGHT,
    padding: [8, 20, 0, 0],
    cursor: { y: false, points: { show: !bars }, drag: { x: false, y: false } },
    legend: { markers: { width: 0 } },
    scales: {
      x: { range: (_, first, last) => (bars ? [first - half, last + half] : [first, last]) },
      y: { range: (_, __, most) => [0, Math.max(most * 1.08, figure.dataset.unit === "s" ? 10 : 4)] },
    },
    axes: [
      { ...axis, grid: { show: false }, ticks: { show: false }, size: 22, gap: 2, incrs: isLong ? [A_DAY_S] : undefined,
        values: (_, at) => at.map((one) => (isLong ? weekday(new Date(one * 1000)) : moment(one, false))) },
      {
        ...axis, size: 52, gap: 4, space: 34, ticks: { show: false }, grid: { stroke: token("line"), width: 1 },
        values: (_, values) => values.map((value) => (value || figure.dataset.unit === "s" ? words(value) : "0")),
        incrs: figure.dataset.unit === "s"
          ? [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800]
          : [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1e3, 2e3, 2.5e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7],
      },
    ],
    series: [
      { label: "from", value: (_, at) => (at == null ? "" : moment(at, isLong)) },
      ...ordered.map(({ name, tone, values }) => {
        const color = token(`c-${tone}`);
        const shared = { label: name, value: (_, __, ___, at) => (at == null || values[at] == null ? "" : words(values[at])) };
        if (bars) return { ...shared, fill: color, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.72, 22] }) };
        const limit = tone === "limit";
        return {
          ...shared, stroke: color, width: limit ? 1 : 2, dash: limit ? [4, 4] : [], points: { show: false },
          fill: limit ? undefined : token(`f-${tone}`), paths: limit ? undefined : uPlot.paths.linear(),
        };
      }),
    ],
  };
}

function draw(figure, anew) {
  const text = figure.querySelector("details tbody").textContent;
  const held = drawn.get(figure);
  if (held && !anew && held.text === text) return;
  const { times, series } = read(figure);
  const data = [times, ...(figure.dataset.chart === "bars" ? stacked(series) : series.map(({ values }) => values))];
  const place = figure.querySelector(".plot");
  held?.plot.destroy();
  drawn.set(figure, { plot: new uPlot(options(figure, series), data, place), text });
  place.querySelectorAll(".u-series").forEach((row, index) => {
    if (!index) return;
    const bars = figure.dataset.chart === "bars";
    row.dataset.tone = (bars ? [...series].reverse() : series)[index - 1].tone;
    row.style.order = bars ? series.length - index : index;
  });
}

function drawAll(anew) {
  for (const [figure, { plot }] of drawn) {
    if (!figure.isConnected) {
      plot.destroy();
      drawn.delete(figure);
    }
  }
  document.querySelectorAll("figure.chart").forEach((figure) => draw(figure, anew));
}

let width = 0;
new ResizeObserver(() => {
  if (innerWidth !== width) {
    width = innerWidth;
    drawAll(true);
  }
}).observe(document.body);
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => drawAll(true));
document.addEventListener("refreshed", () => drawAll(false));
