"use strict";
(() => {
  const pay = document.getElementById("pay");
  const copy = document.getElementById("copy");
  const left = document.getElementById("left");
  const invoice = document.getElementById("invoice");
  const ends = Date.now() + Number(left.dataset.leftMs);
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  let waiting = new AbortController();

  const show = (status) => {
    pay.dataset.status = status;
    for (const section of pay.querySelectorAll("[data-when]")) {
      section.hidden = section.dataset.when !== status;
      if (!section.hidden) document.title = section.dataset.title;
    }
  };

  const ask = async (status) => {
    waiting = new AbortController();
    const patience = setTimeout(() => waiting.abort(), 35000);
    try {
      const url = `${location.pathname}/status?status=${status}&wait=25`;
      const answer = await fetch(url, { signal: waiting.signal });
      if (answer.ok) return (await answer.json()).status;
      await pause(5000); // too often, or a server in trouble
      return status;
    } catch {
      return status; // offline, or woken up: ask again
    } finally {
      clearTimeout(patience);
    }
  };

  const watch = async () => {
    for (let status = pay.dataset.status; status !== "paid"; status = pay.dataset.status) {
      const news = await ask(status);
      if (news === status) await pause(1000);
      else show(news);
    }
  };

  const count = () => {
    const seconds = Math.max(0, Math.round((ends - Date.now()) / 1000));
    const parts = [Math.floor(seconds / 60) % 60, seconds % 60];
    if (seconds >= 3600) parts.unshift(Math.floor(seconds / 3600));
    left.textContent = " \u00b7 " + parts
      .map((part, place) => (place ? String(part).padStart(2, "0") : String(part)))
      .join(":");
  };

  const copyInvoice = async () => {
    try {
      await navigator.clipboard.writeText(invoice.textContent);
    } catch { // no secure context, or no leave: the old way
      getSelection().selectAllChildren(invoice);
      document.execCommand("copy");
    }
    const label = copy.textContent;
    copy.textContent = copy.dataset.copied;
    copy.disabled = true;
    await pause(1500);
    copy.textContent = label;
    copy.disabled = false;
  };

  // Who comes back from the wallet has a connection that may have died meanwhile.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) waiting.abort();
  });
  copy.addEventListener("click", copyInvoice);
  copy.hidden = false;
  count();
  setInterval(count, 1000);
  watch();
})();
