package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// What tokens and certificates are held to from here on: a line with bundles, which has no answer.
type trust struct {
	Audience []string                 `json:"audience"`
	Bundles  map[string]encodedBundle `json:"bundles"`
}

type encodedBundle struct {
	// A JWK Set, as text.
	JWKS string `json:"jwks"`
	// Certificates in DER, one behind the other, in base64.
	Authorities string `json:"authorities"`
}

type question struct {
	// id, jwt or x509.
	Kind string `json:"kind"`
	// The id; the token; the DER of the leaf in base64.
	Value string `json:"value"`
	// For x509: seconds since the epoch, when it is not now.
	At int64 `json:"at"`
}

type answer struct {
	OK  bool   `json:"ok"`
	ID  string `json:"id"`
	Why string `json:"why,omitempty"`
}

// Answers each line with what go-spiffe's own validators say of it.
func judge(in io.Reader, out io.Writer) error {
	jwts, x509s := jwtbundle.NewSet(), x509bundle.NewSet()
	var held trust
	return lines(in, func(line []byte) error {
		var given trust
		if err := json.Unmarshal(line, &given); err != nil {
			return err
		}
		if given.Bundles != nil {
			held, jwts, x509s = given, jwtbundle.NewSet(), x509bundle.NewSet()
			return load(held, jwts, x509s)
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			return err
		}
		id, err := opinion(asked, held.Audience, jwts, x509s)
		if err != nil {
			return write(out, answer{Why: err.Error()})
		}
		return write(out, answer{OK: true, ID: id.String()})
	})
}

func load(held trust, jwts *jwtbundle.Set, x509s *x509bundle.Set) error {
	for name, bundle := range held.Bundles {
		domain, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return err
		}
		keys, err := jwtbundle.Parse(domain, []byte(bundle.JWKS))
		if err != nil {
			return err
		}
		der, err := base64.StdEncoding.DecodeString(bundle.Authorities)
		if err != nil {
			return err
		}
		authorities, err := x509bundle.ParseRaw(domain, der)
		if err != nil {
			return err
		}
		jwts.Add(keys)
		x509s.Add(authorities)
	}
	return nil
}

func opinion(asked question, audience []string, jwts *jwtbundle.Set, x509s *x509bundle.Set) (spiffeid.ID, error) {
	switch asked.Kind {
	case "id":
		return spiffeid.FromString(asked.Value)
	case "jwt":
		svid, err := jwtsvid.ParseAndValidate(asked.Value, jwts, audience)
		if err != nil {
			return spiffeid.ID{}, err
		}
		return svid.ID, nil
	case "x509":
		der, err := base64.StdEncoding.DecodeString(asked.Value)
		if err != nil {
			return spiffeid.ID{}, err
		}
		var options []x509svid.VerifyOption
		if asked.At != 0 {
			options = append(options, x509svid.WithTime(time.Unix(asked.At, 0)))
		}
		id, _, err := x509svid.ParseAndVerify([][]byte{der}, x509s, options...)
		return id, err
	}
	return spiffeid.ID{}, fmt.Errorf("unknown kind %q", asked.Kind)
}
