// A ledger in a Durable Object. All Workers that use an object of the same name share its budgets.

import { DurableObject } from "cloudflare:workers";

/** The time to live of a reservation, in seconds. */
const LEASE = 3600;

/** 64-bit integers are passed as text, because a JavaScript number would round them. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS books (month TEXT, budget TEXT, spent INTEGER, reserved INTEGER, PRIMARY KEY (month, budget)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS leases (id TEXT, budget TEXT, month TEXT, amount INTEGER, ends INTEGER, PRIMARY KEY (id, budget)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS by_end ON leases (ends);
`;

/** A ledger in a Durable Object with SQLite storage. Export it from the Worker and bind it there. */
export class BudgetLedger extends DurableObject {
  #sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(SCHEMA);
  }

  /** Runs `work` in a transaction, after expired reservations have been settled. */
  #change(work) {
    return this.ctx.storage.transactionSync(() => {
      const now = Math.floor(Date.now() / 1000);
      const month = new Date().toISOString().slice(0, 7);
      // Expired reservations count as spent in full. An id occurs once per budget, which does no harm: DISTINCT would make SQLite
      // read all reservations instead of the index.
      for (const { id } of this.#rows("SELECT id FROM leases WHERE ends <= ?", now)) {
        this.#settle(id, undefined, month);
      }
      return work(now, month);
    });
  }

  #rows(query, ...values) {
    return this.#sql.exec(query, ...values).toArray();
  }

  /** Settles a reservation at an amount, or at the whole reserved amount if there is none. */
  #settle(id, amount, month) {
    const leases = this.#rows("DELETE FROM leases WHERE id = ? RETURNING budget, month, CAST(amount AS TEXT) AS amount", id);
    const spent = leases.map((lease) => {
      const change = "UPDATE books SET spent = spent + CAST(? AS INTEGER), reserved = reserved - CAST(? AS INTEGER)";
      const [sum] = this.#rows(
        `${change} WHERE month = ? AND budget = ? RETURNING CAST(spent AS TEXT) AS spent`,
        amount ?? lease.amount,
        lease.amount,
        lease.month,
        lease.budget,
      );
      return { ...lease, spent: BigInt(sum.spent) };
    });
    return spent.filter((lease) => lease.month === month);
  }

  #sums(month, budget) {
    const [sums] = this.#rows(
      "SELECT CAST(spent AS TEXT) AS spent, CAST(reserved AS TEXT) AS reserved FROM books WHERE month = ? AND budget = ?",
      month,
      budget,
    );
    return { spent: BigInt(sums?.spent ?? 0), reserved: BigInt(sums?.reserved ?? 0) };
  }

  reserve(id, budgets, amount) {
    return this.#change((now, month) => {
      if (this.#rows("SELECT 1 FROM leases WHERE id = ?", id).length) return undefined;
      for (const { name, limit } of budgets) {
        const sums = this.#sums(month, name);
        if (sums.spent + sums.reserved + amount > limit) return { budget: name, ...sums };
      }
      for (const { name } of budgets) {
        const values = [month, name, String(amount)];
        this.#rows(
          "INSERT INTO books VALUES (?, ?, 0, CAST(? AS INTEGER)) ON CONFLICT DO UPDATE SET reserved = reserved + excluded.reserved",
          ...values,
        );
        this.#rows("INSERT INTO leases VALUES (?, ?, ?, CAST(? AS INTEGER), ?)", id, name, month, String(amount), now + LEASE);
      }
      return undefined;
    });
  }

  settle(id, amount) {
    return this.#change((_, month) => this.#settle(id, String(amount), month).map(({ spent }) => spent));
  }

  state(budget) {
    return this.#change((_, month) => this.#sums(month, budget));
  }
}
