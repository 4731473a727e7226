# What arms 2 and 3 ask, for OPA: the same callers, methods, paths, claims and answers.
package bench

default result := {"allowed": false, "http_status": 403}

http := input.attributes.request.http

principal := input.attributes.source.principal

result := answer("payments-read", principal) if {
	glob.match("spiffe://prod.example/ns/reports/sa/*", ["/"], principal)
	http.method in {"GET", "HEAD"}
	input.parsed_path = ["payments", _]
}

result := answer("logs-read", concat(":", ["corp", claims.sub])) if {
	http.method == "GET"
	input.parsed_path = ["deployments", _, "logs"]
	glob.match("agent-*", [], claims.sub)
	claims.kind == "agent"
}

claims := payload if {
	startswith(http.headers.authorization, "Bearer ")
	token := substring(http.headers.authorization, 7, -1)
	[valid, _, payload] := io.jwt.decode_verify(token, {
		"cert": data.keys.jwks,
		"alg": "ES256",
		"iss": "https://idp.example",
		"aud": "edge",
	})
	valid
}

answer(rule, caller) := {
	"allowed": true,
	"headers": {"x-principal": caller, "x-rule": rule},
}
