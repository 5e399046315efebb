// What the public page does beyond being read: times in the reader's zone, a strip that zooms to
// single epochs, what is new as it comes, and "check it yourself". Every page is whole without it.
// What comes from outside goes into the page as text, never as markup.
'use strict';
(() => {
  const html = document.documentElement;
  const root = new URL(html.dataset.root || './', document.baseURI);
  const SVG = 'http://www.w3.org/2000/svg';
  const count = new Intl.NumberFormat('en').format;

  /** make('p', {class: 'x'}, 'text', child) makes an element. */
  function make(name, attributes = {}, ...children) {
    const e = name === 'svg' || name === 'rect' || name === 'g' || name === 'title'
      ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) e.setAttribute(key, '');
      else if (value !== false && value != null) e.setAttribute(key, value);
    }
    e.append(...children);
    return e;
  }

  /** json fetches JSON. An answer that is none is an error. */
  async function json(url, signal) {
    const answer = await fetch(url, { signal, headers: { Accept: 'application/json' } });
    if (!answer.ok) throw new Error(`${answer.status} for ${url}`);
    return answer.json();
  }

  // Times.

  const local = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', timeZoneName: 'short' });
  const localDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' });

  function showLocalTimes(within) {
    for (const time of within.querySelectorAll('time[datetime]:not([data-local])')) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      time.dataset.local = '';
      if (at.getTimezoneOffset() === 0) continue; // the reader's zone is what stands there
      const sameDay = at.getDate() === at.getUTCDate();
      time.after(' ', make('span', { class: 'local' }, `(${(sameDay ? local : localDay).format(at)})`));
    }
  }

  /** showTime writes a time into an element, as the server does. */
  function showTime(at) {
    const day = new Date(at);
    if (isNaN(day)) return make('span');
    const text = day.toISOString();
    return make('time', { datetime: text.slice(0, 19) + 'Z' }, `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`);
  }

  // The strip.

  const wanted = 240; // buckets in a view

  class Strip {
    constructor(figure) {
      this.figure = figure;
      this.svg = figure.querySelector('svg.strip');
      this.whole = { from: Number(figure.dataset.from), to: Number(figure.dataset.to) };
      this.tiers = [...this.svg.querySelectorAll('g')].map((g) => /tier-(\w+)/.exec(g.getAttribute('class'))?.[1]).filter(Boolean);
      this.height = this.svg.viewBox.baseVal.height || 90;
      this.row = this.height / this.tiers.length;
      this.first = Number(figure.dataset.first || this.whole.from);
      this.last = Number(figure.dataset.last || this.whole.to);
      this.view = { ...this.whole };
      this.folder = new URL(figure.dataset.log || './', document.baseURI);
      this.json = new URL(figure.dataset.json, document.baseURI);
      this.json.search = '';
      this.buckets = [];
      this.cursor = null;
      this.finest = 1; // a published copy has no finer buckets than it has
      this.addControls();
      this.listen();
      this.load();
    }

    addControls() {
      const button = (text, label, act) => {
        const b = make('button', { type: 'button', 'aria-label': label }, text);
        b.addEventListener('click', act);
        return b;
      };
      this.controls = make('div', { class: 'strip-controls', role: 'group', 'aria-label': 'Zoom and move' },
        button('−', 'Zoom out', () => this.zoom(2)),
        button('+', 'Zoom in', () => this.zoom(0.5)),
        button('←', 'Earlier epochs', () => this.pan(-0.5)),
        button('→', 'Later epochs', () => this.pan(0.5)),
        button('Whole log', 'Whole log', () => this.show(this.first, this.last)));
      this.readout = make('p', { class: 'strip-readout', 'aria-live': 'polite' });
      const view = this.svg.closest('.strip-view') || this.svg;
      view.after(this.controls, this.readout);
      this.figure.classList.add('live');
      this.axis = this.figure.querySelectorAll('.strip-axis > span');
      this.svg.setAttribute('tabindex', '0');
      this.svg.setAttribute('role', 'application');
      this.svg.setAttribute('aria-roledescription', 'zoomable strip');
      const help = make('p', { class: 'announce', id: `help-${Math.random().toString(36).slice(2)}` },
        'Arrow keys move between stretches of epochs, plus and minus zoom, Enter opens a stretch or an epoch, 0 shows the whole log. ' +
        'The table after the strip has the same.');
      this.readout.after(help);
      this.svg.setAttribute('aria-describedby', help.id);
    }

    listen() {
      const svg = this.svg;
      svg.addEventListener('wheel', (e) => {
        if (!e.ctrlKey && Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
          e.preventDefault();
          this.pan(e.deltaX / svg.clientWidth);
        } else if (e.deltaY && (e.ctrlKey || document.activeElement === svg)) {
          // The page scrolls on where the strip cannot be zoomed any further.
          if (this.zoom(Math.exp(Math.max(-60, Math.min(60, e.deltaY)) / 100), this.at(e))) e.preventDefault();
        }
      }, { passive: false });
      let held = null;
      svg.addEventListener('pointerdown', (e) => {
        if (e.button !== 0) return;
        held = { x: e.clientX, view: { ...this.view }, moved: false };
      });
      svg.addEventListener('pointermove', (e) => {
        if (!held) return this.point(this.at(e));
        const share = (held.x - e.clientX) / svg.clientWidth;
        if (!held.moved && Math.abs(held.x - e.clientX) < 5) return;
        if (!held.moved) svg.setPointerCapture(e.pointerId);
        held.moved = true;
        svg.classList.add('held');
        const span = held.view.to - held.view.from + 1;
        this.show(held.view.from + share * span, held.view.to + share * span, span);
      });
      const release = (e) => {
        const was = held;
        held = null;
        svg.classList.remove('held');
        if (e.type === 'pointerup' && was && !was.moved) this.open(this.bucketAt(this.at(e)));
      };
      svg.addEventListener('pointerup', release);
      svg.addEventListener('pointercancel', release);
      svg.addEventListener('pointerleave', () => { if (!held && document.activeElement !== svg) this.point(null); });
      svg.addEventListener('click', (e) => { if (!e.ctrlKey && !e.metaKey) e.preventDefault(); });
      svg.addEventListener('dragstart', (e) => e.preventDefault());
      svg.addEventListener('keydown', (e) => {
        if (e.ctrlKey || e.metaKey || e.altKey) return;
        const act = {
          ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
          Home: () => this.setCursor(this.buckets[0]), End: () => this.setCursor(this.buckets.at(-1)),
          '+': () => this.zoom(0.5, this.cursorPlace()), '-': () => this.zoom(2, this.cursorPlace()),
          Enter: () => this.open(this.cursor ?? this.bucketAt(0.5)), 0: () => this.show(this.first, this.last),
        }[{ '=': '+', ' ': 'Enter' }[e.key] ?? e.key];
        if (!act) return;
        e.preventDefault();
        act();
      });
    }

    /** at says where a pointer is, from 0 to 1. */
    at(e) {
      const box = this.svg.getBoundingClientRect();
      return Math.max(0, Math.min(1, (e.clientX - box.left) / box.width));
    }

    bucketAt(place) {
      if (place == null) return null;
      const epoch = Math.floor(this.view.from + place * (this.view.to - this.view.from + 1));
      return this.buckets.find((b) => b.from <= epoch && epoch <= b.to) ?? null;
    }

    cursorPlace() {
      if (!this.cursor) return 0.5;
      return ((this.cursor.from + this.cursor.to + 1) / 2 - this.view.from) / (this.view.to - this.view.from + 1);
    }

    /** show moves the view, and loads what it then shows. It reports whether anything changed. */
    show(from, to, span = to - from + 1) {
      const all = this.last - this.first + 1;
      span = Math.round(Math.min(all, Math.max(Math.min(12 * this.finest, all), span)));
      from = Math.round(Math.max(this.first, Math.min(this.last - span + 1, from)));
      to = from + span - 1;
      if (from === this.view.from && to === this.view.to) return false;
      this.view = { from, to };
      this.cursor = null;
      this.draw(); // what is there already, until the rest comes
      this.load();
      return true;
    }

    zoom(factor, place = 0.5) {
      const span = this.view.to - this.view.from + 1;
      let next = span * factor;
      if (Math.round(next) === span) next = factor < 1 ? span - 1 : span + 1;
      return this.show(this.view.from + place * (span - next), 0, next);
    }

    pan(share) {
      const span = this.view.to - this.view.from + 1;
      return this.show(this.view.from + Math.sign(share) * Math.max(1, Math.abs(share * span)), 0, span);
    }

    step(by) {
      let i = this.buckets.indexOf(this.cursor ?? this.bucketAt(0.5));
      if (this.cursor) i += by;
      if (i < 0 || i >= this.buckets.length || this.buckets[i].to < this.view.from || this.buckets[i].from > this.view.to) {
        const edge = by < 0 ? this.view.from - 1 : this.view.to + 1;
        this.wantCursor = edge;
        if (!this.pan(by * 0.5)) this.wantCursor = null;
        return;
      }
      this.setCursor(this.buckets[i]);
    }

    setCursor(bucket) {
      this.cursor = bucket ?? null;
      this.draw();
      this.say(bucket);
    }

    point(place) { this.say(this.bucketAt(place) ?? this.cursor); }

    say(b) {
      if (!b) { this.readout.textContent = ''; return; }
      const size = b.to - b.from + 1;
      const parts = this.tiers.filter((t) => b[t]).map((t) => `${size === 1 ? '' : count(b[t]) + ' '}${t}`);
      if (b.rejected) parts.unshift(size === 1 ? 'REJECTED' : `${count(b.rejected)} REJECTED`);
      if (b.breaks) parts.unshift(size === 1 ? 'DOES NOT CONTINUE THE EPOCH BEFORE' : `${count(b.breaks)} BREAKS`);
      const name = size === 1 ? `Epoch ${count(b.from)}` : `Epochs ${count(b.from)} to ${count(b.to)}`;
      this.readout.textContent = `${name}: ${parts.join(', ') || 'nothing on record'}`;
    }

    /** open zooms to a bucket, or goes to the page of a single epoch. */
    open(b) {
      if (!b) return;
      if (b.from === b.to) {
        location.href = new URL(`epochs/${b.from}/`, this.folder).href;
        return;
      }
      const span = Math.max(b.to - b.from + 1, 12);
      this.show(b.from - (span - (b.to - b.from + 1)) / 2, 0, span);
    }

    async load() {
      this.loading?.abort();
      this.loading = new AbortController();
      const { from, to } = this.view;
      const url = new URL(this.json);
      // The whole log, as it was when the page was made, is there for all at once.
      if (from !== Number(this.figure.dataset.first) || to !== Number(this.figure.dataset.last)) {
        url.search = new URLSearchParams({ from, to, buckets: Math.min(wanted, to - from + 1) });
      }
      const began = performance.now();
      try {
        const got = await json(url, this.loading.signal);
        if (!Array.isArray(got.buckets) || from !== this.view.from || to !== this.view.to) return;
        if (got.from > to || got.to < from || got.to - got.from > 2 * (to - from) + got.bucket) this.finest = got.bucket; // a copy has the whole only
        this.buckets = got.buckets;
        if (this.wantCursor != null) {
          this.cursor = this.buckets.find((b) => b.from <= this.wantCursor && this.wantCursor <= b.to) ?? null;
          this.wantCursor = null;
          this.say(this.cursor);
        }
        this.draw();
        this.caption(got);
        this.figure.dataset.drawn = `${from}-${to}`;
        this.figure.dataset.took = Math.round(performance.now() - began);
        this.figure.dispatchEvent(new CustomEvent('drawn', { bubbles: true }));
      } catch (e) {
        if (e.name !== 'AbortError') this.readout.textContent = 'These epochs cannot be loaded now. The table below has the log as a whole.';
      }
    }

    /** caption says in words what is drawn. */
    caption(got) {
      const fill = (what, text) => { for (const e of this.figure.querySelectorAll(what)) e.textContent = text; };
      const shown = this.buckets.filter((b) => b.to >= this.view.from && b.from <= this.view.to);
      fill('[data-span]', `${count(this.view.from)} to ${count(this.view.to)}`);
      fill('[data-size]', got.bucket > 1 ? `A column is ${count(got.bucket)} epochs.` : 'A column is one epoch.');
      for (const t of this.tiers) fill(`[data-count=${t}]`, count(shown.reduce((n, b) => n + b[t], 0)));
    }

    draw() {
      if (!this.buckets.length) return;
      const { from, to } = this.view;
      const scale = 1000 / (to - from + 1);
      const rows = [];
      this.tiers.forEach((tier, row) => {
        const g = make('g', { class: `tier-${tier}` });
        let run = null;
        const end = () => {
          if (run) g.append(make('rect', { class: `cell ${run.kind}`, x: run.x.toFixed(3), y: row * this.row, width: (run.end - run.x).toFixed(3), height: this.row - 4 }));
        };
        for (const b of this.buckets) {
          if (b.to < from || b.from > to) continue;
          const x = Math.max(0, (b.from - from) * scale), right = Math.min(1000, (b.to + 1 - from) * scale);
          const size = b.to - b.from + 1;
          const bad = tier === 'verified' && (b.rejected || b.breaks) || tier === 'chained' && b.breaks;
          const kind = bad ? 'wrong' : b[tier] >= size ? 'full' : b[tier] ? 'part' : 'none';
          if (run && run.kind === kind) { run.end = right; continue; }
          end();
          run = { kind, x, end: right };
        }
        end();
        // A single bad epoch in a long log is thinner than a pixel, and must be seen all the same.
        for (const r of g.querySelectorAll('.wrong')) {
          if (r.getAttribute('width') < 4) { r.setAttribute('width', 4); g.append(r); }
        }
        rows.push(g);
      });
      if (this.cursor && this.cursor.to >= from && this.cursor.from <= to) {
        rows.push(make('rect', { class: 'cursor', x: (this.cursor.from - from) * scale, y: 0, width: Math.max(3, (this.cursor.to + 1 - this.cursor.from) * scale), height: this.height }));
      }
      this.svg.replaceChildren(...this.svg.querySelectorAll(':scope > title, :scope > desc'), ...rows);
      const marks = this.axis.length === 2 ? [from, to] : [from, Math.floor((from + to) / 2), to];
      marks.forEach((n, i) => { if (this.axis[i]) this.axis[i].textContent = count(n); });
      const [out, into, earlier, later, all] = this.controls.children;
      const whole = from <= this.first && to >= this.last;
      out.disabled = all.disabled = whole;
      into.disabled = to - from + 1 <= Math.min(12 * this.finest, this.last - this.first + 1);
      earlier.disabled = from <= this.first;
      later.disabled = to >= this.last;
    }

    /** grow makes room for an epoch that is new. */
    grow(epoch) {
      if (!(epoch > this.last)) return;
      const atEnd = this.view.to >= this.last;
      const wasWhole = atEnd && this.view.from <= this.first;
      const ahead = epoch - this.last;
      this.last = epoch;
      if (wasWhole) this.view.to = epoch;
      else if (atEnd) this.view = { from: this.view.from + ahead, to: epoch };
      clearTimeout(this.later);
      if (atEnd) this.later = setTimeout(() => this.load(), 250);
    }
  }

  // What is new.

  const announcer = document.querySelector('[data-announce]');
  let toSay = [];
  /** announce has a screen reader say what came, together and at its leisure. */
  function announce(text) {
    if (!announcer) return;
    if (!toSay.length) setTimeout(() => { announcer.textContent = toSay.slice(-3).join(' '); toSay = []; }, 1000);
    toSay.push(text);
  }

  const strips = [];
  const sectionsOf = (namespace) => document.querySelectorAll(`[data-namespace="${CSS.escape(namespace)}"]`);
  const fields = (section, name) => section.matches('[data-check]') ? [] : section.querySelectorAll(`[data-field="${name}"]`);

  /** setField fills a field, and reports whether that changed it. */
  function setField(section, name, ...content) {
    let changed = false;
    for (const e of fields(section, name)) {
      const next = make('span', {}, ...content.map((c) => (c.cloneNode ? c.cloneNode(true) : c)));
      showLocalTimes(next);
      if (e.textContent.trim() === next.textContent.trim()) continue;
      e.replaceChildren(...next.childNodes);
      mark(e);
      changed = true;
    }
    return changed;
  }

  function mark(e) {
    e.classList.remove('arrived');
    void e.getBoundingClientRect(); // begins the animation anew
    e.classList.add('arrived');
  }

  /** folderOf is the folder of a log, seen from any page. */
  const folderOf = (namespace) => new URL(`logs/${encodeURIComponent(namespace)}/`, root);

  function addEpoch(e) {
    for (const section of sectionsOf(e.namespace)) {
      for (const body of section.querySelectorAll('table[data-newest] > tbody')) addRow(body, e);
    }
    growStrips(e.namespace, e.epoch);
  }

  /** addRow puts an epoch into a table, whose columns are those of its head. */
  function addRow(body, e) {
    if ([...body.rows].some((r) => Number(r.dataset.epoch) === e.epoch)) return;
    const columns = [...body.closest('table').querySelectorAll('thead th')].map((th) => th.dataset.column);
    const good = e.outcome === 'verified';
    const values = {
      epoch: () => make('a', { href: new URL(`epochs/${e.epoch}/`, folderOf(e.namespace)).href }, count(e.epoch)),
      outcome: () => make('span', { class: `state state-${good ? 'good' : 'wrong'}` }, e.reason ? `${e.outcome}: ${e.reason}` : e.outcome),
      digest: () => make('code', {}, e.digest?.length > 16 ? e.digest.slice(0, 16) + '…' : e.digest ?? ''),
      finished_at: () => showTime(e.finished_at),
      inserted: () => count(e.inserted ?? 0),
      bytes: () => size(e.bytes ?? 0),
    };
    const row = make('tr', { 'data-epoch': e.epoch },
      ...columns.map((c, i) => make(i ? 'td' : 'th', { scope: i ? null : 'row', class: c === 'inserted' || c === 'bytes' ? 'number' : null }, values[c]?.() ?? '')));
    const after = [...body.rows].find((r) => Number(r.dataset.epoch) < e.epoch);
    const most = Math.max(5, body.rows.length);
    body.insertBefore(row, after ?? null);
    while (body.rows.length > most) body.lastElementChild.remove();
    showLocalTimes(row);
    mark(row);
    announce(`Epoch ${count(e.epoch)} of ${e.namespace}: ${e.outcome}.`);
  }

  function size(bytes) {
    const units = ['B', 'kB', 'MB', 'GB'];
    let i = 0;
    while (bytes >= 1000 && i < units.length - 1) { bytes /= 1000; i++; }
    return `${i && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[i]}`;
  }

  function addIncident(i) {
    const lists = new Set();
    for (const section of sectionsOf(i.namespace)) for (const l of section.querySelectorAll('[data-incidents]')) lists.add(l);
    for (const l of document.querySelectorAll('[data-incidents=all]')) lists.add(l);
    let fresh = false;
    for (const list of lists) {
      if ([...list.children].some((li) => li.dataset.incident === i.incident && (li.dataset.namespace ?? i.namespace) === i.namespace)) continue;
      const epochs = i.from ? `Epoch ${count(i.from)}${i.to > i.from ? ` to ${count(i.to)}` : ''}: ` : '';
      const li = make('li', { 'data-incident': i.incident, 'data-namespace': list.dataset.incidents === 'all' ? i.namespace : null, 'data-severity': i.severity },
        make('p', {}, make('strong', { class: `severity severity-${i.severity}` }, i.severity), ' ', make('strong', {}, epochs + i.title)), i.means ? make('p', {}, i.means) : '');
      list.prepend(li);
      list.hidden = false;
      list.parentElement.querySelector('[data-no-incidents]')?.setAttribute('hidden', '');
      mark(li);
      fresh = true;
    }
    if (fresh) announce(`Incident in ${i.namespace}: ${i.title}.`);
  }

  const words = { good: 'Good', wrong: 'Wrong', warning: 'Warning', empty: 'Nothing yet' };

  function setSummary(s) {
    const folder = folderOf(s.namespace);
    const link = (epoch) => make('a', { href: new URL(`epochs/${epoch}/`, folder).href }, `epoch ${count(epoch)}`);
    for (const section of sectionsOf(s.namespace)) {
      if (s.head) {
        setField(section, 'head', link(s.head));
        setField(section, 'head-number', count(s.head));
      }
      if (s.head_at) setField(section, 'head-at', showTime(s.head_at));
      if (s.newest) setField(section, 'newest', link(s.newest), ...(s.newest_at ? [', ', showTime(s.newest_at)] : []));
      if (s.lag_text) setField(section, 'lag', s.lag_text);
      if (s.state) {
        for (const e of fields(section, 'state')) e.className = `state state-${s.state}`;
        for (const e of section.querySelectorAll('[data-field=state] > strong')) e.textContent = words[s.state] ?? 'Not known';
        if (s.state_text && setField(section, 'state-text', s.state_text)) announce(`${s.namespace}: ${s.state_text}`);
        if (section.dataset.state != null) section.dataset.state = s.state;
      }
    }
    growStrips(s.namespace, Math.max(s.newest || 0, s.seen_to || 0));
  }

  function growStrips(namespace, to) {
    for (const s of strips) if (s.figure.dataset.namespace === namespace) s.grow(to);
  }

  const every = 20_000; // a poll, in milliseconds
  let polling = 0;
  function poll() {
    clearTimeout(polling);
    polling = setTimeout(async () => {
      if (!document.hidden) {
        const shown = new Set([...document.querySelectorAll('[data-field]')].map((e) => e.closest('[data-namespace]')?.dataset.namespace));
        shown.delete(undefined);
        for (const namespace of shown) {
          try {
            const log = await json(new URL('log.json', folderOf(namespace)));
            for (const e of (log.newest ?? []).toReversed()) addEpoch({ namespace, ...e });
            for (const i of log.incidents ?? []) if (!i.acknowledged) addIncident({ namespace, ...i });
            if (log.summary) setSummary(log.summary);
          } catch { /* the next poll may reach it */ }
        }
        if (document.querySelector('[data-incidents=all]')) {
          const all = await json(new URL('incidents.json', root)).catch(() => ({}));
          for (const i of all.incidents ?? []) if (!i.acknowledged) addIncident(i);
        }
      }
      poll();
    }, Number(html.dataset.every) || every);
  }

  function follow() {
    if (!document.querySelector('[data-field], [data-incidents=all]')) return;
    if (html.dataset.live !== 'events' || !window.EventSource) return poll();
    const source = new EventSource(new URL('events', root));
    const on = (name, act) => source.addEventListener(name, (e) => { try { act(JSON.parse(e.data)); } catch { /* not ours */ } });
    on('epoch', addEpoch);
    on('incident', addIncident);
    on('log', setSummary);
    source.onopen = () => { html.dataset.following = 'events'; };
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) { html.dataset.following = 'poll'; poll(); } };
    addEventListener('pagehide', () => source.close());
    addEventListener('pageshow', (e) => { if (e.persisted) location.reload(); });
  }

  // Check it yourself.

  class Check {
    constructor(section) {
      this.section = section;
      this.data = section.dataset;
      this.button = section.querySelector('[data-action=check]');
      this.result = section.querySelector('[data-result]');
      this.place = section.querySelector('[data-check-form]');
      if (!this.button || !this.result || !this.place) return;
      this.addForm();
      this.button.hidden = false;
      this.button.addEventListener('click', () => this.checkProof());
    }

    addForm() {
      const id = (n) => `check-${n}`;
      const area = (name, label, rows) => make('p', {}, make('label', { for: id(name) }, label),
        make('textarea', { id: id(name), rows, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', disabled: true }));
      this.file = make('input', { type: 'file', id: id('file') });
      this.drop = make('div', { class: 'drop' }, make('label', { for: id('file') }, 'Verify the log’s own proof, too: choose or drop the batch file of this epoch'),
        this.file, make('p', { class: 'soft' }, this.data.batch ? `The log publishes it as ${this.data.batch}. It stays in your browser.` : 'It stays in your browser.'));
      this.form = make('div', { class: 'check-form' },
        area('log', 'Key of the auditor’s verdict log', 2),
        area('witnesses', 'Keys of witnesses, one a line', 3),
        make('p', {}, make('label', { for: id('require') }, 'Cosignatures of these that are needed'),
          make('input', { id: id('require'), type: 'number', min: 0, max: 99, value: 0, disabled: true })),
        make('p', { class: 'soft' }, 'These keys come from the auditor that is being checked. Paste those that you got elsewhere to check without trusting it.'));
      this.place.replaceChildren(this.form, this.data.configuration ? this.drop : '');
      this.input = (n) => this.form.querySelector('#' + id(n));
      this.file.addEventListener('change', () => { if (this.file.files[0]) this.checkBatch(this.file.files[0]); });
      for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
        this.drop.addEventListener(kind, (e) => {
          e.preventDefault();
          this.drop.classList.toggle('over', kind === 'dragenter' || kind === 'dragover');
          if (kind === 'drop' && e.dataTransfer.files[0]) this.checkBatch(e.dataTransfer.files[0]);
        });
      }
      this.keys = json(new URL(this.data.keys, document.baseURI)).then((keys) => {
        this.input('log').value = keys.log ?? '';
        this.input('witnesses').value = (keys.witnesses ?? []).join('\n');
        this.input('require').value = keys.require ?? 0;
      }).catch(() => { /* the reader may have some */ }).finally(() => {
        for (const e of this.form.querySelectorAll(':disabled')) e.disabled = false;
      });
    }

    /** ask has the worker do something: it is started, and the checker loaded, when first needed. */
    ask(question) {
      if (!this.worker) {
        this.worker = new Worker(new URL(html.dataset.checkWorker, document.baseURI));
        this.worker.postMessage({
          exec: new URL(html.dataset.checkExec, document.baseURI).href,
          wasm: new URL(html.dataset.checkWasm, document.baseURI).href,
        });
      }
      return new Promise((answer, fail) => {
        this.worker.onmessage = (e) => (e.data.error ? fail(new Error(e.data.error)) : answer(e.data.report));
        this.worker.onerror = (e) => { this.worker = null; fail(new Error(e.message || 'the checker could not be started')); };
        this.worker.postMessage(question);
      });
    }

    async run(busy, work) {
      this.button.disabled = true;
      this.data.outcome = '';
      this.result.replaceChildren(make('p', {}, busy));
      try {
        this.show(await work());
      } catch (e) {
        this.show({ outcome: 'unclear', summary: `Nothing was checked: ${e.message}. This says nothing for or against the verdict.`, steps: [] });
      }
      this.button.disabled = false;
    }

    checkProof() {
      return this.run('Loading the checker, about two megabytes, and checking…', async () => {
        await this.keys;
        const [verdict, proof] = await Promise.all([this.bytes(this.data.verdict), this.bytes(this.data.proof)]);
        return this.ask({
          proof: {
            namespace: this.data.namespace, epoch: Number(this.data.epoch), verdict, proof, log: this.input('log').value,
            witnesses: this.input('witnesses').value, require: Number(this.input('require').value),
          },
        });
      });
    }

    async bytes(name) {
      const answer = await fetch(new URL(name, document.baseURI), { cache: 'no-cache' });
      if (answer.status === 404) throw new Error(`${name} is not there: the epoch is not in the verdict log yet, or the log is not kept`);
      if (!answer.ok) throw new Error(`the server answers ${answer.status} for ${name}`);
      return new Uint8Array(await answer.arrayBuffer());
    }

    checkBatch(file) {
      return this.run(`Verifying ${file.name}, ${size(file.size)}. A large batch takes a while…`, async () =>
        this.ask({ batch: { name: this.data.batch, configuration: this.data.configuration, bytes: new Uint8Array(await file.arrayBuffer()) } }));
    }

    show(report) {
      const state = { good: 'good', wrong: 'wrong' }[report.outcome] ?? 'warning';
      this.result.replaceChildren(
        make('p', {}, make('strong', { class: `state state-${state}` }, report.summary)),
        make('ol', { class: 'steps' }, ...(report.steps ?? []).map((s) =>
          make('li', { class: s.outcome }, make('strong', {}, s.title), s.text))));
      this.data.outcome = report.outcome;
    }
  }

  showLocalTimes(document);
  for (const figure of document.querySelectorAll('figure.strip[data-json]')) {
    if (figure.querySelector('svg.strip') && Number(figure.dataset.to) >= Number(figure.dataset.from)) strips.push(new Strip(figure));
  }
  const canCheck = html.dataset.checkWasm && html.dataset.checkWorker && window.WebAssembly && window.DecompressionStream && window.Worker;
  if (canCheck) for (const section of document.querySelectorAll('[data-check]')) new Check(section);
  follow();
})();
