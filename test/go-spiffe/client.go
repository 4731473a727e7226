package main

import (
	"context"
	"io"
	"sort"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What the official client got of each method, or the code and text it was refused with.
func fetch(ctx context.Context, address, audience string, out io.Writer) error {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(address))
	if err != nil {
		return err
	}
	defer client.Close()
	said := map[string]any{}
	say := func(method string, value any, err error) {
		if err == nil {
			said[method] = value
			return
		}
		said[method] = refusal(err)
	}
	context, err := client.FetchX509Context(ctx)
	say("FetchX509SVID", contextOf(context), err)
	x509s, err := client.FetchX509Bundles(ctx)
	var x509Domains map[string]int
	if err == nil {
		x509Domains = map[string]int{}
		for _, bundle := range x509s.Bundles() {
			x509Domains[bundle.TrustDomain().String()] = len(bundle.X509Authorities())
		}
	}
	say("FetchX509Bundles", x509Domains, err)
	jwts, err := client.FetchJWTBundles(ctx)
	say("FetchJWTBundles", keyIDs(jwts), err)
	svids, err := client.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: audience, ExtraAudiences: []string{"other"}})
	say("FetchJWTSVID", jwtSVIDs(svids), err)
	if err == nil {
		offline, err := jwtsvid.ParseAndValidate(svids[0].Marshal(), jwts, []string{audience})
		say("offline", jwtSVIDs([]*jwtsvid.SVID{offline}), err)
		valid, err := client.ValidateJWTSVID(ctx, svids[0].Marshal(), audience)
		say("ValidateJWTSVID", jwtSVIDs([]*jwtsvid.SVID{valid}), err)
		_, err = client.ValidateJWTSVID(ctx, svids[0].Marshal(), "nobody")
		say("ValidateJWTSVID nobody", nil, err)
	}
	return write(out, said)
}

func refusal(err error) string {
	known, ok := status.FromError(err)
	if !ok {
		return "error: " + err.Error()
	}
	return known.Code().String() + ": " + known.Message()
}

type shownSVID struct {
	ID       string   `json:"id"`
	Hint     string   `json:"hint"`
	Audience []string `json:"audience,omitempty"`
	Verified bool     `json:"verified,omitempty"`
}

// The X.509-SVIDs, each verified against the very bundles that came with them.
func contextOf(context *workloadapi.X509Context) any {
	if context == nil {
		return nil
	}
	shown := []shownSVID{}
	for _, svid := range context.SVIDs {
		_, _, err := x509svid.Verify(svid.Certificates, context.Bundles)
		shown = append(shown, shownSVID{ID: svid.ID.String(), Hint: svid.Hint, Verified: err == nil})
	}
	domains := map[string]int{}
	for _, bundle := range context.Bundles.Bundles() {
		domains[bundle.TrustDomain().String()] = len(bundle.X509Authorities())
	}
	return map[string]any{"svids": shown, "bundles": domains}
}

func jwtSVIDs(svids []*jwtsvid.SVID) []shownSVID {
	shown := []shownSVID{}
	for _, svid := range svids {
		if svid != nil {
			shown = append(shown, shownSVID{ID: svid.ID.String(), Hint: svid.Hint, Audience: svid.Audience})
		}
	}
	return shown
}

func keyIDs(set *jwtbundle.Set) map[string][]string {
	domains := map[string][]string{}
	if set == nil {
		return domains
	}
	for _, bundle := range set.Bundles() {
		ids := []string{}
		for id := range bundle.JWTAuthorities() {
			ids = append(ids, id)
		}
		sort.Strings(ids)
		domains[bundle.TrustDomain().String()] = ids
	}
	return domains
}

// Writes every update that the official client's two watchers are told of, until it is cancelled.
func watch(ctx context.Context, address string, out io.Writer) error {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(address), workloadapi.WithBackoffStrategy(quick{}))
	if err != nil {
		return err
	}
	defer client.Close()
	told := &watcher{out: out}
	var both sync.WaitGroup
	both.Go(func() { _ = client.WatchX509Context(ctx, told) })
	both.Go(func() { _ = client.WatchJWTBundles(ctx, told) })
	both.Wait()
	return nil
}

// The client's own back-off begins at a second; a test need not wait for that.
type quick struct{}

func (quick) NewBackoff() workloadapi.Backoff { return quick{} }
func (quick) Next() time.Duration             { return 50 * time.Millisecond }
func (quick) Reset()                          {}

type watcher struct {
	mutex sync.Mutex
	out   io.Writer
}

func (w *watcher) say(value map[string]any) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	_ = write(w.out, value)
}

func (w *watcher) OnX509ContextUpdate(context *workloadapi.X509Context) {
	w.say(map[string]any{"x509": contextOf(context)})
}

func (w *watcher) OnX509ContextWatchError(err error) { w.refused("x509", err) }

func (w *watcher) OnJWTBundlesUpdate(set *jwtbundle.Set) {
	w.say(map[string]any{"jwt": keyIDs(set)})
}

func (w *watcher) OnJWTBundlesWatchError(err error) { w.refused("jwt", err) }

func (w *watcher) refused(stream string, err error) {
	if status.Code(err) == codes.Canceled {
		return
	}
	w.say(map[string]any{stream + "Error": refusal(err)})
}
