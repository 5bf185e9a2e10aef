/* What Gradio's components don't do: pointing at the timeline, correcting clips in place, the run's address. */
window.smolreel = (() => {
  const SEEK_S = 1, LEAP_S = 10, PATIENCE_MS = 10_000;

  const clock = seconds => {
    const tenths = Math.round(seconds * 10), minutes = Math.floor(tenths / 600), hours = Math.floor(minutes / 60);
    const rest = tenths % 600, two = n => String(n).padStart(2, "0");
    return `${hours ? `${hours}:${two(minutes % 60)}` : minutes}:${two(Math.floor(rest / 10))}.${rest % 10}`;
  };

  /* "1:02.5" or "62.5" in seconds; NaN for anything else. */
  const seconds = text => /^\s*(\d+:){0,2}\d+([.,]\d+)?\s*$/.test(text)
    ? text.trim().replace(",", ".").split(":").reduce((sum, part) => 60 * sum + Number(part), 0) : NaN;

  const story = () => {
    const holder = document.querySelector(".sr-story");
    if (!holder) return null;
    if (holder.sr !== holder.dataset.story) {
      holder.sr = holder.dataset.story;
      holder.told = JSON.parse(holder.sr);
    }
    return holder.told;
  };

  const nearest = (peeks, at) => peeks.reduce((best, peek) =>
    !best || Math.abs(peek[0] - at) < Math.abs(best[0] - at) ? peek : best, null);

  /* The whole video plays from a moment, below the timeline. */
  const play = at => {
    const part = document.querySelector(".sr-original"), video = part?.querySelector("video");
    if (!video) return;
    part.hidden = false;
    if (!video.src) {
      const root = (window.gradio_config?.root ?? "").replace(/\/$/, "");
      video.src = `${root}/gradio_api/file=${video.dataset.path.split("/").map(encodeURIComponent).join("/")}`;
      video.addEventListener("error", () => { part.querySelector(".sr-unplayable").hidden = false; });
    }
    document.querySelectorAll("#reel video").forEach(reel => reel.pause());
    const start = () => { video.currentTime = at; video.play().catch(() => {}); };
    if (video.readyState >= 1) {
      start();
    } else {
      video.addEventListener("loadedmetadata", start, { once: true });
      video.load();
    }
    part.scrollIntoView({ behavior: "smooth", block: "nearest" });
  };

  /* The bands over the plot: hover shows a moment, a click plays it, and the keyboard does both. */
  const timeline = element => {
    const line = () => element.querySelector(".sr-line");
    const length = () => Number(line()?.dataset.length ?? 0);
    const share = event => {
      const box = line().getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    };
    const show = at => {
      const told = story(), peek = element.querySelector(".sr-peek"), cursor = element.querySelector(".sr-cursor");
      if (!told || !peek) return;
      const segment = told.segments.find(s => s[0] <= at && at < s[1]), picture = nearest(told.peeks, at);
      const image = peek.querySelector("img");
      image.hidden = !picture?.[1];
      if (picture?.[1]) image.src = picture[1];
      peek.querySelector(".sr-peek-when").textContent =
        clock(at) + (segment ? ` \u00b7 score ${Math.round(100 * segment[2])}` : "");
      peek.querySelector(".sr-peek-what").textContent = segment?.[3] ?? "";
      peek.hidden = cursor.hidden = false;
      const width = line().clientWidth, x = at / length() * width, half = peek.offsetWidth / 2;
      cursor.style.left = `${x}px`;
      peek.style.left = `${Math.min(width - half, Math.max(half, x))}px`;
    };
    const hide = () => element.querySelectorAll(".sr-peek, .sr-cursor").forEach(part => { part.hidden = true; });
    const move = at => {
      const whole = Math.min(length(), Math.max(0, at));
      line().setAttribute("aria-valuenow", whole.toFixed(1));
      const segment = story()?.segments.find(s => s[0] <= whole && whole < s[1]);
      line().setAttribute("aria-valuetext", `${clock(whole)}${segment?.[3] ? `, ${segment[3]}` : ""}`);
      show(whole);
    };

    element.addEventListener("pointermove", event => { if (event.pointerType === "mouse") show(share(event) * length()); });
    element.addEventListener("pointerleave", hide);
    element.addEventListener("focusout", hide);
    element.addEventListener("focusin", event => {
      if (event.target.dataset.play && event.target.matches(":focus-visible")) show(Number(event.target.dataset.play));
    });
    element.addEventListener("click", event => {
      const band = event.target.closest("[data-play]");
      const at = band && event.detail === 0 ? Number(band.dataset.play) : share(event) * length();
      if (event.detail !== 0) show(at);
      play(at);
    });
    element.addEventListener("keydown", event => {
      if (event.target !== line()) return;
      const now = Number(line().getAttribute("aria-valuenow")), step = event.shiftKey ? LEAP_S : SEEK_S;
      const to = { ArrowRight: now + step, ArrowUp: now + step, ArrowLeft: now - step, ArrowDown: now - step,
        PageUp: now + LEAP_S, PageDown: now - LEAP_S, Home: 0, End: length() }[event.key];
      if (to !== undefined) move(to);
      else if (event.key === "Enter" || event.key === " ") play(now);
      else return;
      event.preventDefault();
    });
  };

  /* Buttons and fields with data-act inside `element` become events for the server. */
  const actions = (element, trigger) => {
    let wanted = null;
    const send = (source, more) => {
      const card = source.closest("[data-start]");
      wanted = { act: source.dataset.act, start: card?.dataset.start, end: card?.dataset.end, index: card?.dataset.index };
      trigger("act", { act: source.dataset.act, index: Number(card?.dataset.index ?? -1),
        start: Number(card?.dataset.start ?? 0), end: Number(card?.dataset.end ?? 0), ...more });
    };
    element.addEventListener("click", event => {
      const player = event.target.closest("[data-play]");
      if (player) { play(Number(player.dataset.play)); return; }
      const source = event.target.closest("button[data-act]");
      if (source && source.getAttribute("aria-disabled") !== "true")
        send(source, { by: Number(source.dataset.by ?? 0) * (event.shiftKey ? 10 : 1) });
    });
    element.addEventListener("change", event => {
      const field = event.target.closest("input[data-act]");
      if (!field) return;
      const value = seconds(field.value);
      field.value = field.defaultValue;
      if (!Number.isNaN(value)) send(field, { value });
    });
    /* After the clips were drawn anew, the keyboard stays with the clip that was moved or trimmed. */
    new MutationObserver(() => {
      if (!wanted) return;
      const cards = [...element.querySelectorAll("[data-start]")];
      const card = cards.find(c => c.dataset.start === wanted.start) ?? cards.find(c => c.dataset.end === wanted.end)
        ?? cards[Math.min(cards.length - 1, Number(wanted.index))];
      const target = card?.querySelector(`[data-act="${wanted.act}"]:not([aria-disabled="true"])`) ?? card?.querySelector("button");
      if (element.contains(document.activeElement) || document.activeElement === document.body) target?.focus({ preventScroll: true });
      wanted = null;
    }).observe(element, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-start", "data-end"] });
  };

  /* Corrections go to the server one after the other, in the order of the clicks: each waits until the one before it is
     answered, for an answer that came late would leave an older list on show. */
  const underWay = [];
  const turn = async values => {
    const before = underWay.at(-1), mine = {};
    mine.over = new Promise(resolve => { mine.end = resolve; });
    underWay.push(mine);
    if (before) await Promise.race([before.over, new Promise(resolve => setTimeout(resolve, PATIENCE_MS))]);
    return values;
  };
  const answered = () => underWay.shift()?.end();

  /* The run's id in the address, so that a reload finds it again; without one, it is taken out. */
  const address = id => {
    const url = new URL(location.href);
    if (id) url.searchParams.set("run", id); else url.searchParams.delete("run");
    if (url.href === location.href) return;
    history.replaceState(history.state, "", url);
    window.scrollTo({ top: 0 });
    if (!id) document.title = "SmolReel";
  };

  const follow = (element, watch) => {
    const take = () => address(element.querySelector("[data-run]")?.dataset.run);
    watch("value", take);
  };

  /* Trouble is brought into view, wherever the person is. */
  const call = (element, watch) => watch("value", () =>
    element.querySelector(".sr-trouble")?.scrollIntoView({ behavior: "smooth", block: "center" }));

  /* Somebody who waits in another tab sees in its title how far the run is. */
  const title = (element, watch) => watch("value", () => {
    const share = element.querySelector(".sr-progress-head b")?.textContent;
    document.title = share ? `${share} \u00b7 SmolReel` : "SmolReel";
  });

  const ready = (element, watch) => {
    const say = () => { if (element.textContent.trim()) document.title = "Reel ready \u00b7 SmolReel"; };
    say();
    watch("value", say);
  };

  /* While the reel plays, the clip that is seen is marked, as long as the reel shows the clips below it. */
  const mark = () => {
    const reel = document.querySelector("#reel video"), cards = [...document.querySelectorAll("#strip .sr-clip")];
    const changed = document.querySelector("#total .sr-changed");
    let until = 0, now = -1;
    if (reel && !reel.paused && !changed)
      now = cards.findIndex(card => (until += card.dataset.end - card.dataset.start) > reel.currentTime);
    cards.forEach((card, i) => card.classList.toggle("sr-now", i === now));
    document.querySelectorAll("#bands .sr-band").forEach((band, i) => band.classList.toggle("sr-now", i === now));
  };
  for (const name of ["timeupdate", "pause", "ended"])
    document.addEventListener(name, event => { if (event.target.closest?.("#reel")) mark(); }, true);

  const copy = async text => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    const said = document.querySelector("#copied");
    if (!said) return;
    said.textContent = "Copied: paste them where you like.";
    said.hidden = false;
    setTimeout(() => { said.hidden = true; }, 3000);
  };

  /* A file that the page will not take is refused before it travels. */
  const guard = (most, words) => {
    const refuse = (event, files) => {
      const large = [...(files ?? [])].find(file => file.size > most);
      if (!large) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (event.target.value !== undefined && event.type === "change") event.target.value = "";
      const note = document.querySelector("#too-large");
      if (note) { note.textContent = words.replace("{}", large.name); note.hidden = false; }
    };
    const accept = event => {
      const drop = event.target.closest?.("#source");
      const note = document.querySelector("#too-large");
      if (!drop) return;
      if (note) note.hidden = true;
      refuse(event, event.type === "drop" ? event.dataTransfer?.files : event.target.files);
    };
    document.addEventListener("drop", accept, true);
    document.addEventListener("change", accept, true);
  };

  return { actions, answered, call, copy, follow, guard, play, ready, timeline, title, turn };
})();
