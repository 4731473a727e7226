/** The rules that the questions are about; the rest of a policy is filled with rules of services. */
const asked = `version: 1
policy: bench
principals:
  reporting: { spiffe: "spiffe://prod.example/ns/reports/sa/*" }
  support-agent: { jwt: { issuer: corp, subject: "agent-*", claims: { kind: agent } } }
  rsa-agent: { jwt: { issuer: rsa, subject: "agent-*", claims: { kind: agent } } }
  elsewhere: { spiffe: "spiffe://prod.example/ns/elsewhere/sa/*" }
rules:
  - { id: payments-read, effect: permit, principals: [reporting], methods: [GET, HEAD], paths: [/payments, "/payments/{id}"] }
  - { id: logs-read, effect: permit, principals: [support-agent, rsa-agent], methods: [GET], paths: ["/deployments/{name}/logs"] }
  - id: customer-context
    effect: permit
    principals: [support-agent]
    methods: [GET]
    paths: ["/tenants/{tenant}/customers/{customer}"]
    when: >-
      token.claims.tenant == path.tenant && path.customer in token.claims.customers
      && "reader" in token.claims.roles && facts.environment == "production"
  - id: crm-tools
    effect: permit
    principals: [support-agent]
    paths: [/mcp]
    mcp: { methods: [tools/call], tools: [get_customer], onlyArguments: [tenant, customer_id, note] }
    when: mcp.arguments.tenant == token.claims.tenant
  - { id: no-bulk-export, effect: deny, paths: ["/**/export"] }
`;
export const probePath = '/probe';
const probeRule = `  - { id: probe, effect: permit, principals: [reporting], methods: [GET], paths: [${probePath}] }`;
const askedRules = 5;
const rulesOfService = 10;

/**
 * A policy of so many rules: those asked about, then ten a service, one of them a deny rule.
 * @param isOpen the last rule permits the probe of the reload
 */
export function policyText(rules: number, isOpen = false): string {
  const lines = Array.from({ length: Math.max(0, rules - askedRules) }, (_, index) => {
    const { service, resource } = placeOf(index);
    if (resource === rulesOfService - 1) {
      return `  - { id: s${service}-closed, effect: deny, methods: [DELETE], paths: ["/api/s${service}/**"] }`;
    }
    const principals = resource % 2 === 0 ? '[reporting, support-agent]' : '[elsewhere, reporting]';
    return `  - { id: s${service}-r${resource}-read, effect: permit, principals: ${principals}, methods: [GET, HEAD], paths: ["/api/s${service}/r${resource}/{id}"] }`;
  });
  if (isOpen) lines.push(probeRule);
  return `${asked}${lines.join('\n')}\n`;
}

/** Paths of permit rules spread evenly over a policy of so many rules; `{id}` is left to fill in. */
export function pathsAcross(rules: number, count: number): readonly string[] {
  const services = Math.max(1, Math.floor((rules - askedRules) / rulesOfService));
  const resources = Math.min(rulesOfService - 1, rules - askedRules);
  return Array.from({ length: count }, (_, index) => {
    const service = Math.floor((index * services) / count);
    return `/api/s${service}/r${index % resources}/`;
  });
}

function placeOf(index: number): { service: number; resource: number } {
  return { service: Math.floor(index / rulesOfService), resource: index % rulesOfService };
}
