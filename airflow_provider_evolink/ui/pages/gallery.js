// SPDX-License-Identifier: Apache-2.0
// The tabs "Video" and "Gallery": both list what has landed, and play one file at a time. What comes from outside is
// set as text only. Addresses are relative, so that they hold below any base URL of Airflow.

import { length, number, place, sentences, size, summary, title, whyNot } from "./texts.js";

const PAGE_SIZE = 60;
const UNMAPPED = "-1";
const REFUSALS = {
  401: "You are logged out. Reload Airflow's page to log in again.",
  403: "You may not read the XComs of this DAG, which list its files. An administrator of Airflow can let you.",
  404: "Airflow knows no such DAG or run. It may have been deleted.",
};
const NO_LIST = "Airflow did not list the files";
const OF_THE_RUN = "This task has landed nothing itself, so these are the files of its run.";
const UNPLAYABLE = "The browser can't play this file: it may be gone, or in a format that the browser doesn't know.";
const UNREADABLE = "Airflow did not send this file; the log of its api-server says why.";
const GLYPHS = { video: "▶", audio: "♪", image: "▣" };

const byId = (id) => document.getElementById(id);
const dialog = byId("dialog"); // in the gallery only; the other page plays in place
const viewer = byId("viewer");
// Airflow before 3.2 leaves the + of a run's id as it is, which means a space; a space itself is %20 here.
const query = new URLSearchParams(location.search.replaceAll("+", "%2B"));

let scope = {}; // whose entries are listed
let entries = []; // those loaded so far, in order
let shown = null; // the entry in the viewer
let isLoading = false;

// -- Loading ----------------------------------------------------------------------------------------------------------

// Two clicks on a slow Airflow would list the same entries twice.
async function alone(work) {
  if (isLoading) return;
  isLoading = true;
  await work();
  isLoading = false;
}

async function start() {
  stop();
  viewer.hidden = true;
  entries = [];
  byId("cards").replaceChildren();
  note("");
  try {
    let page = await load(ownScope(), 0);
    if (!page.entries.length && scope.task_id) {
      page = await load({ run_id: scope.run_id }, 0);
      if (page.entries.length) note(OF_THE_RUN);
    }
    add(page);
  } catch (error) {
    byId("summary").textContent = error.message;
  }
}

function ownScope() {
  const own = { run_id: query.get("run_id") ?? "" };
  if (!dialog) {
    own.task_id = query.get("task_id") ?? "";
    // Airflow's UI leaves the placeholder as it is if the task is not mapped.
    own.map_index = /^\d+$/.test(query.get("map_index")) ? query.get("map_index") : UNMAPPED;
  }
  return own;
}

async function load(wanted, offset) {
  scope = wanted;
  const list = `entries?${new URLSearchParams({ ...wanted, offset, limit: PAGE_SIZE })}`;
  const response = await fetch(list).catch(() => ({ status: "no response" }));
  if (response.ok) return response.json();
  throw new Error(REFUSALS[response.status] ?? `${NO_LIST} (${response.status}). Refresh to try again.`);
}

function add(page) {
  entries.push(...page.entries);
  byId("cards").append(...page.entries.map(card));
  byId("more").hidden = !page.more;
  byId("summary").textContent = summary(entries, page.more);
  noteCommonReason();
  const first = entries.find((entry) => entry.servable);
  const isList = entries.length > 1 || !first;
  byId("cards").hidden = !isList;
  if (!dialog && first && !shown) view(first, { autoplay: false });
}

async function loadMore() {
  const first = entries.length;
  byId("more").disabled = true;
  try {
    add(await load(scope, first));
    byId("cards").children[first]?.querySelector("button")?.focus();
  } catch (error) {
    note(error.message);
  } finally {
    byId("more").disabled = false;
  }
}

// -- Notes ------------------------------------------------------------------------------------------------------------

function note(text) {
  byId("note").textContent = text;
  byId("note").hidden = !text;
}

// A setting that is missing concerns all files alike: it is stated once.
function noteCommonReason() {
  const [common, ...others] = new Set(entries.map(whyNot));
  const isCommon = entries.length > 1 && Boolean(common) && !others.length;
  byId("cards").classList.toggle("one-reason", isCommon);
  if (isCommon) note(common);
}

// -- The list ---------------------------------------------------------------------------------------------------------

function card(entry) {
  const item = element("li", "card");
  item.append(entry.servable ? playButton(entry) : tile("div", entry), element("p", "prompt", title(entry)));
  item.append(element("p", "facts", outcome(entry)), element("p", "facts model", entry.model ?? ""));
  if (entry.error) item.append(reason(entry.error));
  else if (whyNot(entry)) item.append(element("p", "why-not", entry.why_not));
  return item;
}

// What has happened; what it has cost and what to do about it unfolds.
function reason(text) {
  const [first, others] = sentences(text);
  if (!others) return element("p", "error", first);
  const box = element("details", "error");
  box.append(element("summary", "", first), element("p", "", others));
  return box;
}

function outcome(entry) {
  const credits = entry.credits && `${number(entry.credits)} credits`;
  const duration = entry.duration && length(entry.duration);
  return [entry.status, credits, duration].filter(Boolean).join(" · ");
}

function playButton(entry) {
  const button = tile("button", entry);
  button.type = "button";
  button.title = entry.prompt ?? "";
  button.setAttribute("aria-label", `${entry.kind === "image" ? "View" : "Play"} ${title(entry)}`);
  button.addEventListener("click", () => view(entry, { autoplay: true }));
  return button;
}

function tile(name, entry) {
  const box = element(name, "tile");
  const isPicture = entry.has_poster || (entry.kind === "image" && entry.servable);
  box.append(isPicture ? picture(entry) : glyph(entry));
  return box;
}

function glyph(entry) {
  if (entry.servable) return element("span", "glyph", GLYPHS[entry.kind]);
  const isFailed = entry.status === "failed";
  return element("span", isFailed ? "error" : "absent", entry.status === "landed" ? "not shown" : entry.status);
}

function picture(entry) {
  const image = element("img");
  image.loading = "lazy";
  image.alt = "";
  image.src = address(entry.has_poster ? "posters" : "files", entry);
  image.addEventListener("error", () => image.replaceWith(glyph(entry)));
  return image;
}

// -- The viewer -------------------------------------------------------------------------------------------------------

function view(entry, { autoplay }) {
  stop();
  shown = entry;
  viewer.replaceChildren(stage(entry, autoplay), details(entry));
  viewer.hidden = false;
  markShown();
  if (dialog && !dialog.open) dialog.showModal();
  if (!dialog && autoplay) viewer.scrollIntoView({ block: "nearest" });
}

// A media element without a source gives its connection back.
function stop() {
  for (const media of viewer.querySelectorAll("video, audio")) {
    media.pause();
    media.removeAttribute("src");
    media.load();
  }
  shown = null;
}

function stage(entry, autoplay) {
  const box = element("div", `stage ${entry.kind}`);
  if (entry.kind === "audio" && entry.has_poster) box.append(picture(entry));
  const media = element({ video: "video", audio: "audio", image: "img" }[entry.kind]);
  if (entry.kind === "image") {
    media.alt = title(entry);
  } else {
    Object.assign(media, { controls: true, autoplay, preload: "metadata", playsInline: true });
    media.setAttribute("aria-label", title(entry));
  }
  media.addEventListener("error", () => explain(entry, box));
  media.src = address("files", entry);
  box.append(media);
  return box;
}

async function explain(entry, box) {
  if (entry !== shown) return;
  let text = UNPLAYABLE;
  try {
    const response = await fetch(address("files", entry), { headers: { Range: "bytes=0-0" } });
    if (response.status === 401) text = REFUSALS[401];
    else if (!response.ok) text = (await response.json()).detail ?? text;
    else await response.arrayBuffer(); // a storage can fail after the first byte, too
  } catch {
    text = UNREADABLE;
  }
  box.replaceChildren(element("p", "error", text));
}

function details(entry) {
  const box = element("div", "details");
  if (entry.prompt) box.append(element("p", "prompt", entry.prompt));
  const facts = {
    Status: entry.status,
    Model: entry.model,
    Credits: entry.credits && number(entry.credits),
    "Generated in": entry.duration && length(entry.duration),
    Size: entry.bytes && size(entry.bytes),
    Task: place(entry),
    Generation: entry.generation_id,
  };
  const list = element("dl");
  for (const [name, value] of Object.entries(facts)) {
    if (value) list.append(element("dt", "", name), element("dd", "", value));
  }
  box.append(list, download(entry));
  return box;
}

function download(entry) {
  const link = element("a", "download", `Download ${entry.name}`);
  link.href = address("files", entry);
  link.download = entry.name;
  return link;
}

function markShown() {
  const buttons = playable();
  buttons.forEach(([entry, button]) => button.setAttribute("aria-current", String(entry === shown)));
  if (!dialog) return;
  const position = buttons.findIndex(([entry]) => entry === shown);
  byId("previous").disabled = position <= 0;
  byId("next").disabled = position === buttons.length - 1;
}

function playable() {
  const items = [...byId("cards").children];
  return entries.map((entry, i) => [entry, items[i].querySelector("button")]).filter(([, button]) => button);
}

function step(by) {
  const all = playable().map(([entry]) => entry);
  view(all[all.indexOf(shown) + by], { autoplay: true });
}

// -- Small things -----------------------------------------------------------------------------------------------------

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function address(kind, entry) {
  const { task_id, map_index } = entry;
  return `${kind}/${entry.number}?${new URLSearchParams({ run_id: scope.run_id, task_id, map_index })}`;
}

// Airflow has a switch of its own for light and dark, and the tab follows it.
function followTheme() {
  if (parent === window) return;
  const airflow = parent.document.documentElement;
  const apply = () => (document.documentElement.style.colorScheme = airflow.style.colorScheme);
  new MutationObserver(apply).observe(airflow, { attributes: true, attributeFilter: ["style"] });
  apply();
}

followTheme();
byId("more").addEventListener("click", () => alone(loadMore));
byId("refresh").addEventListener("click", () => alone(start));
byId("previous")?.addEventListener("click", () => step(-1));
byId("next")?.addEventListener("click", () => step(1));
dialog?.addEventListener("close", stop);
alone(start);
