// Somebody on Nostr with nostr-tools: one order a line in, one answer a line out, all in JSON.
import readline from "node:readline";
import { Buffer } from "node:buffer";
import { finalizeEvent, getPublicKey, verifyEvent } from "nostr-tools/pure";
import * as nip04 from "nostr-tools/nip04";
import * as nip17 from "nostr-tools/nip17";
import * as nip44 from "nostr-tools/nip44";
import { Relay, useWebSocketImplementation } from "nostr-tools/relay";
import WebSocket from "ws";

useWebSocketImplementation(WebSocket);

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const key = bytes(process.argv[2]);
const me = getPublicKey(key);
let relay = null;
const heard = [];

const orders = {
  wrap: ({ to, text }) => nip17.wrapEvent(key, { publicKey: to }, text),
  unwrap: ({ event }) => {
    if (!verifyEvent(event)) throw new Error("the wrap's signature is broken");
    return nip17.unwrapEvent(event, key);
  },
  encrypt: ({ to, text }) => nip44.encrypt(text, nip44.getConversationKey(key, to)),
  decrypt: ({ from, payload }) => nip44.decrypt(payload, nip44.getConversationKey(key, from)),
  sign: ({ kind, content, tags }) =>
    finalizeEvent({ kind, content, tags, created_at: Math.floor(Date.now() / 1000) }, key),
  connect: async ({ url }) => {
    relay = new Relay(url);
    relay.onauth = async (draft) => finalizeEvent(draft, key);
    await relay.connect();
    return me;
  },
  // Relays that want to know us say so when they are asked, and nostr-tools answers by `onauth`.
  listen: () => {
    const open = () =>
      relay.subscribe([{ kinds: [4, 1059], "#p": [me] }], {
        onevent: (event) => heard.push(event),
        onclose: (reason) => reason.startsWith("auth-required") && setTimeout(open, 200),
      });
    open();
    return true;
  },
  publish: async ({ event }) => {
    try {
      return await relay.publish(event);
    } catch (fault) {
      if (!String(fault).includes("auth-required")) throw fault;
      await new Promise((done) => setTimeout(done, 200));
      return await relay.publish(event);
    }
  },
  heard: async ({ count }) => {
    while (heard.length < count) await new Promise((done) => setTimeout(done, 20));
    const texts = [];
    for (const event of heard) {
      if (event.kind === 4) texts.push(await nip04.decrypt(key, event.pubkey, event.content));
      else texts.push(nip17.unwrapEvent(event, key).content);
    }
    return texts.sort();
  },
  old: async ({ to, text }) =>
    orders.sign({ kind: 4, content: await nip04.encrypt(key, to, text), tags: [["p", to]] }),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let answer;
  try {
    answer = { answer: await orders[order.do](order) };
  } catch (fault) {
    answer = { fault: String(fault) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
process.exit(0);
