// What the examples need of Cloudflare's types, which cannot be in one program with those of the DOM. The suite `types` checks the package with the real ones.
declare module "cloudflare:workers" {
  export class DurableObject {
    readonly __DURABLE_OBJECT_BRAND: never;
    constructor(ctx: unknown, env: unknown);
  }
}

interface ExportedHandler<E> {
  fetch?(request: Request, env: E, ctx: ExecutionContext): Response | Promise<Response>;
}
