// Draws docs/sync-benchmark.svg: time and memory of a first sync against the number of packages.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../measure.mjs';

/** The plot as SVG, from the rows of a result that have a size; an empty text where none has. */
export async function plot(rows) {
  const points = (unit, side, peerName) =>
    rows
      .filter(
        (row) => row.size !== undefined && row.unit === unit && row[side] !== null && (peerName === undefined || row.peerName === peerName),
      )
      .map((row) => [row.size, row[side]])
      .sort((a, b) => a[0] - b[0]);
  const best = 'dnf reposync, best setting';
  const series = [
    ['mirrorctl sync', '#0072b2', 'ours', undefined],
    [best, '#d55e00', 'peer', best],
  ].flatMap(([name, color, side, peerName]) =>
    ['s', 'MB'].map((unit, panel) => ({
      name,
      type: 'line',
      data: points(unit, side, peerName),
      color,
      symbol: side === 'ours' ? 'circle' : 'rect',
      symbolSize: 7,
      xAxisIndex: panel,
      yAxisIndex: panel,
    })),
  );
  if (series.every(({ data }) => data.length === 0)) return '';
  const { init } = await import('echarts');
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 900, height: 400 });
  const axis = { nameLocation: 'middle', nameGap: 28 };
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    legend: { top: 30 },
    title: ['Seconds', 'Peak memory, MB'].map((text, i) => ({
      text,
      left: i === 0 ? '24%' : '74%',
      textAlign: 'center',
      textStyle: { fontSize: 14 },
    })),
    grid: [
      { left: 60, right: '54%', top: 70, bottom: 55 },
      { left: '54%', right: 30, top: 70, bottom: 55 },
    ],
    xAxis: [0, 1].map((gridIndex) => ({ ...axis, gridIndex, type: 'log', name: 'packages in the metadata' })),
    yAxis: [
      { gridIndex: 0, type: 'log' },
      { gridIndex: 1, type: 'value', min: 0 },
    ],
    series,
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

export async function writePlot(rows) {
  const svg = await plot(rows);
  if (svg !== '') writeFileSync(join(root, 'docs', 'sync-benchmark.svg'), svg);
}
