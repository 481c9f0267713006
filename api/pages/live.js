/** One WebSocket a page: it reconnects with back-off and asks only for the frames it missed. */

import { liveUrl } from './api.js';

const BACKOFF_MS = [300, 700, 1500, 3000, 5000];
const SILENT_MS = 20_000;

/**
 * @typedef {object} LiveHandlers
 * @property {(frame: any) => void} frame
 * @property {() => void} gap  frames were lost for good: read the history again
 * @property {(up: boolean) => void} state
 */

export class Live {
  /** @param {LiveHandlers} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    this.lastId = 0;
    this.tries = 0;
    this.closed = false;
    this.everUp = false;
    addEventListener('online', () => this.hurry());
    document.addEventListener('visibilitychange', () => document.hidden || this.hurry());
    this.watch = setInterval(() => this.checkSilence(), 5000);
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    this.socket = new WebSocket(liveUrl(this.lastId));
    this.heard = performance.now();
    this.socket.onopen = () => {
      this.everUp = true;
      this.handlers.state(true);
    };
    this.socket.onmessage = (event) => this.message(event.data);
    this.socket.onclose = () => this.retry();
  }

  /** @param {string} text */
  message(text) {
    this.heard = performance.now();
    this.tries = 0;
    const frame = JSON.parse(text);
    if (frame.gap) {
      this.handlers.gap();
      return;
    }
    this.lastId = frame.id;
    this.handlers.frame(frame);
  }

  retry() {
    if (this.closed) return;
    this.handlers.state(false);
    const wait = BACKOFF_MS[Math.min(this.tries, BACKOFF_MS.length - 1)];
    this.tries += 1;
    // The spread keeps a room of browsers from knocking at the same moment after a restart.
    this.timer = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
  }

  hurry() {
    if (this.socket?.readyState === WebSocket.CLOSED && !this.closed) this.open();
  }

  /**
   * A sleeping laptop or a lost network leaves a socket that looks open; silence while nothing else is wrong is no proof,
   * so ask anew. The old socket is left to itself: its farewell would wait for an answer that does not come.
   */
  checkSilence() {
    const old = this.socket;
    if (document.hidden || !old || old.readyState > WebSocket.OPEN || performance.now() - this.heard <= SILENT_MS) return;
    old.onopen = old.onmessage = old.onclose = null;
    old.close();
    this.retry();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.watch);
    this.socket?.close();
  }
}
