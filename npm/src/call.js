// One call. It asks the core for events when a reader needs them. What has arrived is a linked list, so every reader reads at its own pace,
// and what all of them have read is freed.

import { CancelledError, StreamError, fail, fromCore } from "./errors.js";

/** The last link of every list. */
const END = { last: true };
END.next = END;

export class Call {
  #open;
  #signal;
  #hooks;
  #calls;
  #core;
  #convert;
  /** The last link of the list. Its `next` is a promise while the core is asked. */
  #tail = {};
  /** The link at which new readers begin. Undefined once a reader has read an event. */
  #first = this.#tail;
  #readers = 0;
  /** The number of callers who wait for the reply. */
  #waiting = 0;
  #reply;
  #asking = false;
  #cancelled;
  #over = false;
  #abort = () => this.cancel(this.#aborted());
  /** What the runtime's `fetch` threw last, which is the cause of the core's error. */
  fetchError;

  /** `open` makes the core's call and the function that converts its events. `calls` are the calls in flight of a client. */
  constructor(open, { signal, hooks, calls }) {
    this.#open = open;
    this.#signal = signal ?? undefined;
    this.#hooks = hooks;
    this.#calls = calls;
  }

  #aborted() {
    return new CancelledError("cancelled by the caller", { cause: this.#signal.reason });
  }

  async #start() {
    this.#calls.add(this);
    if (this.#signal?.aborted) throw this.#aborted();
    const { make, convert } = await this.#open(this);
    if (this.#signal?.aborted) throw this.#aborted();
    if (this.#cancelled) throw this.#cancelled;
    this.#signal?.addEventListener("abort", this.#abort, { once: true });
    this.#convert = convert;
    this.#core = make();
  }

  /** Returns the link after `link`, or a promise of it. The last one is `{ last: true }`. */
  after(link) {
    return (link.next ??= this.#ask(link));
  }

  async #ask(link) {
    this.#asking = true;
    try {
      if (!this.#core) await this.#start();
      const events = await this.#core.next();
      await this.#append(link, events === undefined ? undefined : JSON.parse(events));
      if (this.#cancelled && !this.#over) this.#break(this.#tail, this.#cancelled);
      return link.next;
    } catch (error) {
      throw this.#failed(error);
    } finally {
      this.#asking = false;
    }
  }

  /** Makes an error follow a link. */
  #break(last, error) {
    last.next = Promise.reject(this.#failed(error));
    last.next.catch(() => {});
    this.#tail = last;
  }

  async #append(link, events) {
    // A reader that follows `link` now must not see a part of the list.
    const start = {};
    let last = start;
    for (const event of events ?? []) {
      try {
        if (event.type === "tool_call" || event.type === "done") await this.#convert(event);
        this.check();
      } catch (error) {
        this.#break(last, error);
        break;
      }
      last = last.next = { event };
      if (event.type === "done") this.#reply = event.reply;
    }
    if (!events || this.#reply) {
      last.next = END;
      this.#finish();
      if (this.#reply) this.#hooks.finish(this.#reply);
    }
    link.next = start.next;
    this.#tail = last === start ? link : last;
  }

  #failed(error) {
    error = this.#cancelled ?? fromCore(error, this.fetchError);
    if (!this.#over) {
      this.#finish();
      this.#hooks.error(error);
    }
    return error;
  }

  /** Ends the call now, unless it has ended. */
  cancel(error) {
    if (this.#over || this.#cancelled) return;
    this.#cancelled = error;
    this.#core?.cancel();
    if (!this.#asking) this.#break(this.#tail, error);
  }

  #finish() {
    if (this.#over) return;
    this.#over = true;
    this.#calls.delete(this);
    if (!this.#core) return;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#core.cancel();
    this.#core.free();
  }

  /** Reads to the end. What has not been read yet is kept for the readers. */
  async drain() {
    let link = this.#tail;
    while (!link.last) link = await this.after(link);
  }

  /** Waits for the reply. Until then the call goes on, even if all readers leave. */
  async reply() {
    this.#waiting++;
    try {
      await this.drain();
    } finally {
      this.#waiting--;
    }
    if (!this.#reply) throw new StreamError("the call ended without a reply");
    return this.#reply;
  }

  /** Creates a reader of all events. */
  reader() {
    if (!this.#first) {
      fail("the events of this stream have already been read: call reply() for the complete reply, or create all readers before one of them reads");
    }
    this.#readers++;
    return new Reader(this, this.#first);
  }

  /** Notes that a reader has read an event. */
  begun() {
    this.#first = undefined;
  }

  /** Throws if the call was cancelled before it ended. */
  check() {
    if (this.#cancelled) throw this.#cancelled;
  }

  /** Notes that a reader has left. */
  left() {
    this.#readers--;
    if (this.#readers > 0 || this.#waiting > 0) return;
    this.cancel(new CancelledError("cancelled: the stream was left before its end"));
  }
}

/** An async iterator over the events of a call. */
class Reader {
  #call;
  #link;
  #left = false;

  constructor(call, link) {
    this.#call = call;
    this.#link = link;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async next() {
    if (this.#left) return { done: true, value: undefined };
    try {
      this.#call.check();
      // While it is not known, the link is a promise, which a second `next()` waits for.
      const before = this.#link;
      const after = before.then ? before.then((link) => this.#call.after(link)) : this.#call.after(before);
      this.#link = after;
      const link = await after;
      if (this.#link === after) this.#link = link;
      if (!this.#left && !link.last) {
        this.#call.check();
        this.#call.begun();
        return { done: false, value: link.event };
      }
    } catch (error) {
      if (!this.#left) {
        this.#leave();
        throw error;
      }
    }
    this.#leave();
    return { done: true, value: undefined };
  }

  /** Leaves the stream at once, even while `next()` waits. */
  async return(value) {
    this.#leave();
    return { done: true, value };
  }

  #leave() {
    if (this.#left) return;
    this.#left = true;
    this.#link = undefined;
    this.#call.left();
  }
}
