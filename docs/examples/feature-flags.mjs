// Express-style middleware: `request.canary` says whether this user sees the new checkout.
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";

export async function featureFlags(receiverUrl, token) {
  await OpenFeature.setProviderAndWait(
    new OFREPProvider({
      baseUrl: receiverUrl,
      headers: { Authorization: `Bearer ${token}` },
      timeoutMs: 500,
    }),
  );
  const client = OpenFeature.getClient();

  return async (request, response, next) => {
    const context = { targetingKey: String(request.user?.id ?? ""), group: request.user?.group ?? "" };
    // With the receiver down, or for a user without an id, the default answers: stable.
    request.canary = await client.getBooleanValue("newCheckoutFlow", false, context);
    next();
  };
}
