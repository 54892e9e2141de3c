// SPDX-License-Identifier: Apache-2.0
// What the tabs say about entries, in words.

const NOTHING_YET = "No files yet. They appear here as soon as a task of this run has landed them.";

export function summary(entries, isIncomplete) {
  if (!entries.length) return NOTHING_YET;
  const counts = Map.groupBy(entries, (entry) => entry.status);
  const parts = [...counts].map(([status, those]) => `${those.length} ${status}`);
  return `${parts.join(", ")}${isIncomplete ? " so far" : ""}${total(entries)}`;
}

function total(entries) {
  const prices = new Map(entries.map((entry) => [entry.generation_id, entry.credits ?? 0]));
  const sum = [...prices.values()].reduce((left, right) => left + right, 0);
  return sum ? ` · ${number(sum)} credits` : "";
}

export const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 2 });

export function length(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export function size(bytes) {
  if (bytes < 1e6) return `${number(Math.max(Math.round(bytes / 1e3), 1))} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export const place = (entry) => (entry.map_index >= 0 ? `${entry.task_id} [${entry.map_index}]` : entry.task_id);
// Of what has not landed it is clear why it is not shown.
export const whyNot = (entry) => (["landed", "unknown", "running"].includes(entry.status) ? entry.why_not : null);
export const title = (entry) => entry.prompt || entry.name || entry.generation_id || place(entry);

// The first sentence of a text, and the others.
export function sentences(text) {
  const [, first, others] = /^(.+?\.)\s+(?=[A-Z`"'])(.+)$/s.exec(text) ?? [null, text, ""];
  return [first, others];
}
