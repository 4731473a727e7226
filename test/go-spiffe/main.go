// The SPIFFE project's own library as an independent opinion, and its Workload API client as a judge
// of the stand-in agent. Reads and writes one JSON value a line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "judge":
		return judge(in, out)
	case len(args) == 3 && args[0] == "fetch":
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return fetch(ctx, args[1], args[2], out)
	case len(args) == 2 && args[0] == "watch":
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, _ = io.Copy(io.Discard, in)
			cancel()
		}()
		return watch(ctx, args[1], out)
	}
	return errors.New("usage: judge | fetch ADDRESS AUDIENCE | watch ADDRESS")
}

func lines(in io.Reader, each func(line []byte) error) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		if err := each(scanner.Bytes()); err != nil {
			return err
		}
	}
	return scanner.Err()
}

func write(out io.Writer, value any) error {
	return json.NewEncoder(out).Encode(value)
}
