import { Box } from "@chakra-ui/react";
import {
  BarController,
  BarElement,
  CategoryScale,
  Chart as ChartJS,
  LineController,
  LineElement,
  LinearScale,
  PointElement,
  Tooltip,
  type ChartOptions,
} from "chart.js";
import { useContext, useMemo } from "react";
import { Chart } from "react-chartjs-2";

import { tick } from "src/format";
import { Muted } from "./Layout";
import { Zone } from "./Moment";

ChartJS.register(
  BarController,
  BarElement,
  CategoryScale,
  LineController,
  LineElement,
  LinearScale,
  PointElement,
  Tooltip,
);

/** A colour of the host's theme as the canvas needs it; it follows light and dark with the page. */
function themeColour(token: string, otherwise: string): string {
  const value = getComputedStyle(document.documentElement).getPropertyValue(
    `--chakra-colors-${token.replace(".", "-")}`,
  );
  return value.trim() || otherwise;
}

export type Point = { readonly at: string; readonly value: number | null };

type TimeChartProps = {
  readonly label: string;
  readonly unit: string;
  readonly points: readonly Point[];
  readonly words: (value: number | null | undefined) => string;
  readonly palette?: string;
  readonly kind?: "bar" | "line";
};

/** Values of runs over time: dates on the lower axis in the county's zone, the unit beside the other. */
export const TimeChart = ({
  kind = "line",
  label,
  palette = "blue",
  points,
  unit,
  words,
}: TimeChartProps) => {
  const zone = useContext(Zone);
  const colour = themeColour(`${palette}.solid`, "#3182ce");
  const [text, line] = [themeColour("fg.muted", "#666"), themeColour("border", "#ddd")];
  const data = useMemo(
    () => ({
      datasets: [
        {
          backgroundColor: colour,
          borderColor: colour,
          borderWidth: kind === "bar" ? 0 : 2,
          data: points.map((point) => point.value),
          label,
          pointRadius: points.length > 30 ? 1 : 2.5,
        },
      ],
      labels: points.map((point) => tick(point.at, zone)),
    }),
    [colour, kind, label, points, zone],
  );
  const options = useMemo<ChartOptions>(
    () => ({
      animation: false,
      maintainAspectRatio: false,
      plugins: { tooltip: { callbacks: { label: (item) => words(item.parsed.y) } } },
      responsive: true,
      scales: {
        x: {
          grid: { display: false },
          ticks: { autoSkip: true, color: text, maxRotation: 0, maxTicksLimit: 4 },
          title: { color: text, display: true, text: zone ?? "your time" },
        },
        y: {
          beginAtZero: true,
          grid: { color: line },
          ticks: { callback: (value) => words(Number(value)), color: text, maxTicksLimit: 5 },
          title: { color: text, display: true, text: unit },
        },
      },
    }),
    [line, text, unit, words, zone],
  );
  const newest = words(points.at(-1)?.value);
  return (
    <Box h="11rem" position="relative">
      <Chart
        aria-label={`${label} of the last ${points.length} runs, newest ${newest}`}
        data={data}
        options={options}
        role="img"
        type={kind}
      />
    </Box>
  );
};

type SparklineProps = { readonly values: readonly number[]; readonly label: string };

/** A table's small trend line, oldest first; what it shows is in its label. */
export const Sparkline = ({ label, values }: SparklineProps) => {
  if (values.length < 2) return <Muted />;
  const [width, height, top] = [64, 22, Math.max(...values, 1)];
  const points = values
    .map((value, index) => {
      const x = 2 + (index * (width - 4)) / (values.length - 1);
      return `${x.toFixed(1)},${(height - 2 - (value / top) * (height - 4)).toFixed(1)}`;
    })
    .join(" ");
  return (
    <Box as="span" color="blue.fg" display="inline-block" lineHeight={0}>
      <svg aria-label={label} height={height} role="img" viewBox={`0 0 ${width} ${height}`} width={width}>
        <title>{label}</title>
        <polyline fill="none" points={points} stroke="currentColor" strokeWidth={1.5} />
      </svg>
    </Box>
  );
};
