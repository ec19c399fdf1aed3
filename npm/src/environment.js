// Before anything else is loaded that needs them.
if (typeof TextDecoder === "undefined" || typeof Response === "undefined") {
  throw new Error(
    "warmline needs fetch, Response and TextDecoder, which Jest's jsdom does not have: begin the test file with /** @jest-environment node */",
  );
}
