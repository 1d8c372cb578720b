// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/page_assets.h>

#include <espalier/experiments/report/chart.h>

namespace espalier::experiments::report {

const char* const kPageStyle = R"css(
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1280px; margin: 0 auto; padding: 1.2rem clamp(.75rem, 2.5vw, 2rem) 3rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { max-width: 75ch; margin: .4rem 0; } .finding { font-size: 1.15rem; } .soft { color: var(--soft); }
a { color: var(--c0); } nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; margin: .6rem 0; }
:focus-visible { outline: 2px solid var(--c1); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: .5rem; top: .5rem; background: var(--paper); padding: .3rem .6rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 23rem), 1fr)); gap: 1.2rem 1rem; align-items: start; margin: .8rem 0; }
.charts svg { width: 100%; height: auto; max-width: 36rem; display: block; } figure { margin: 0; min-width: 0; } figure summary { color: var(--soft); font-size: .85rem; }
figure table { font-size: .8rem; } figure th, figure td, figure thead button { white-space: normal; padding: .15rem .3rem; }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; color: var(--soft); padding: .2rem 0; position: sticky; left: 0; max-width: min(75ch, calc(100vw - 1.5rem)); }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; font-weight: 400; }
thead th { font-weight: 600; vertical-align: bottom; } tbody tr:hover { background: var(--wash); }
.text { text-align: left; } td.wide { white-space: normal; min-width: 30rem; }
thead button { font: inherit; color: inherit; background: none; border: 0; padding: .1rem 0; cursor: pointer; text-align: inherit; white-space: nowrap; }
thead button::after { content: "\2195"; color: var(--soft); padding-left: .3em; }
[aria-sort=ascending] button::after { content: "\2191"; color: inherit; } [aria-sort=descending] button::after { content: "\2193"; color: inherit; }
.save { display: inline-block; border: 1px solid var(--line); border-radius: 4px; padding: .2rem .7rem; text-decoration: none; margin: .2rem .5rem .2rem 0; }
details { margin: .5rem 0; } summary { cursor: pointer; padding: .2rem 0; }
.pictures { display: flex; flex-wrap: wrap; gap: .8rem 1rem; align-items: flex-end; }
.pictures img { display: block; image-rendering: pixelated; border: 1px solid var(--line); max-width: 100%; height: auto; }
.pictures figcaption { font-size: .75rem; line-height: 1.3; max-width: 9.5rem; overflow-wrap: anywhere; }
dt { margin-top: .7rem; font-weight: 600; overflow-wrap: anywhere; } dd { margin: 0; }
code { font: .85rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; user-select: all; background: var(--wash); padding: .1rem .3rem; border-radius: 3px; display: block; }
code span { display: inline-block; max-width: 100%; white-space: pre-wrap; }
@media print {
  :root { color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; } nav, .save, .skip, #live, #pause, figure details { display: none; }
  .charts { grid-template-columns: 1fr 1fr; } figure, tr, dt, dd { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; } table { font-size: 6.5pt; } th, td { padding: .1rem .25rem; white-space: normal; } thead button::after { content: ""; }
  thead button { white-space: normal; } td.wide { min-width: 0; }
}
)css";

const char* const kPageScript = R"js(
'use strict';
const sorted = new Map();  // by table: column and direction, to survive a live update

function sortTable(table, column, direction) {
  const key = row => {
    const cell = row.cells[column];
    const text = cell.dataset.key ?? cell.textContent;
    return cell.dataset.key === undefined || text === '' ? text : Number(text);
  };
  const body = table.tBodies[0];
  const rows = [...body.rows].map(row => [key(row), row]);
  rows.sort(([a], [b]) => {
    if (a === '' || b === '') return (a === '') - (b === '');  // what is not known comes last
    const order = typeof a === 'number' && typeof b === 'number'
      ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});
    return direction === 'ascending' ? order : -order;
  });
  body.append(...rows.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((head, i) =>
    head.setAttribute('aria-sort', i === column ? direction : 'none'));
  sorted.set(table.id, [column, direction]);
}

document.addEventListener('click', event => {
  const head = event.target.closest('thead button')?.closest('th');
  if (!head) return;
  const direction = head.getAttribute('aria-sort') === 'ascending' ? 'descending' : 'ascending';
  sortTable(head.closest('table'), head.cellIndex, direction);
});

let unfolded = [];
addEventListener('beforeprint', () => {
  unfolded = [...document.querySelectorAll('details:not([open]):not(figure *)')];
  unfolded.forEach(one => { one.open = true; });
});
addEventListener('afterprint', () => unfolded.forEach(one => { one.open = false; }));

if (document.body.dataset.live !== undefined) {
  const told = document.getElementById('live');
  const pause = document.getElementById('pause');
  let state = document.body.dataset.live;
  const ask = async path => {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(await answer.text());
    return answer.text();
  };
  // Where the focus is, as a selector that finds the same place in the next page; outside of what is
  // replaced it stays by itself.
  const pathTo = element => {
    if (!element?.closest('main')) return null;
    const steps = [];
    for (let one = element; one && one.tagName !== 'MAIN'; one = one.parentElement) {
      if (one.id) { steps.unshift('#' + CSS.escape(one.id)); return steps.join(' > '); }
      steps.unshift(`${one.tagName}:nth-child(${[...one.parentElement.children].indexOf(one) + 1})`);
    }
    return 'main > ' + steps.join(' > ');
  };
  pause.addEventListener('click', () => {
    const paused = pause.getAttribute('aria-pressed') !== 'true';
    pause.setAttribute('aria-pressed', paused);
    told.textContent = paused ? 'Paused' : 'Live';
  });
  const look = async () => {
    try {
      const now = await ask('state');
      if (now !== state && pause.getAttribute('aria-pressed') === 'true') {
        told.textContent = 'Paused; there is something new.';
      } else if (now !== state) {
        const fresh = new DOMParser().parseFromString(await ask('.'), 'text/html');
        const main = fresh.querySelector('main');
        if (!main) throw new Error('no report');
        const open = new Set([...document.querySelectorAll('details[open]')].map(one => one.id));
        const shut = new Set([...document.querySelectorAll('details:not([open])')].map(one => one.id));
        fresh.querySelectorAll('details').forEach(one => {
          if (open.has(one.id)) one.open = true;
          if (shut.has(one.id)) one.open = false;
        });
        const focused = pathTo(document.activeElement);
        const scrolled = [...document.querySelectorAll('main .scroll')].map(one => one.scrollLeft);
        document.querySelector('main').replaceWith(main);
        sorted.forEach(([column, direction], id) => {
          const table = document.getElementById(id);
          if (table) sortTable(table, column, direction);
        });
        document.querySelectorAll('main .scroll').forEach((one, i) => {
          one.scrollLeft = scrolled[i] ?? 0;
        });
        if (focused) document.querySelector(focused)?.focus({ preventScroll: true });
        state = fresh.body.dataset.live;
        told.textContent = 'Live: changed ' + new Date().toLocaleTimeString();
      } else if (told.dataset.lost) {
        told.textContent = 'Live';
      }
      delete told.dataset.lost;
    } catch {
      told.dataset.lost = 'yes';
      told.textContent = 'The server does not answer; what is shown is the last that was seen.';
    }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
}
)js";

std::string style_sheet() {
  return ":root { color-scheme: light dark; --ink: #1c1c1c; --soft: #5c5c5c; --line: #d9d9d9; "
         "--paper: #fff; --wash: #f4f4f2; " +
         chart_colors(false) +
         "}\n@media screen and (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: "
         "#a9a9a9; --line: #454545; --paper: #181818; --wash: #242424; " +
         chart_colors(true) + "} }\n" + kPageStyle + chart_style();
}

}  // namespace espalier::experiments::report
