// The official Go SDK's client, driven by JSON lines: a request {n, do, ...}
// on standard input, {n, event} and at last {n, ok} or {n, error} on standard
// output. Proxy and trust come from the environment, as Go reads it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type request struct {
	N        int               `json:"n"`
	Do       string            `json:"do"`
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers"`
	Name     string            `json:"name"`
	Args     map[string]any    `json:"args"`
	Progress bool              `json:"progress"`
	Timeout  int               `json:"timeout"`
	Of       int               `json:"of"`
}

var (
	lock    sync.Mutex
	cancels = map[int]context.CancelFunc{}
	session *mcp.ClientSession
)

func say(o any) {
	line, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	lock.Lock()
	defer lock.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

// headers adds the fields that a mount wants.
type headers map[string]string

func (h headers) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for k, v := range h {
		r.Header.Set(k, v)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func connect(r request) (any, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"},
		&mcp.ClientOptions{
			LoggingMessageHandler: func(_ context.Context, m *mcp.LoggingMessageRequest) {
				say(map[string]any{"n": 0, "event": "log", "text": fmt.Sprint(m.Params.Data)})
			},
			ProgressNotificationHandler: func(_ context.Context, m *mcp.ProgressNotificationClientRequest) {
				say(map[string]any{"n": m.Params.ProgressToken, "event": "progress",
					"progress": m.Params.Progress, "total": m.Params.Total,
					"message": m.Params.Message})
			},
		})
	var err error
	session, err = client.Connect(context.Background(), &mcp.StreamableClientTransport{
		Endpoint:   r.URL,
		HTTPClient: &http.Client{Transport: headers(r.Headers)},
	}, nil)
	if err != nil {
		return nil, err
	}
	init := session.InitializeResult()
	return map[string]any{"server": init.ServerInfo.Name, "version": init.ProtocolVersion}, nil
}

func list() (any, error) {
	names := []string{}
	for tool, err := range session.Tools(context.Background(), nil) {
		if err != nil {
			return nil, err
		}
		names = append(names, tool.Name)
	}
	return names, nil
}

func call(ctx context.Context, r request) (any, error) {
	params := &mcp.CallToolParams{Name: r.Name, Arguments: r.Args}
	if r.Progress {
		params.SetProgressToken(r.N)
	}
	return session.CallTool(ctx, params)
}

// begin makes a call's context before the next line is read: it may be the
// one that cancels it.
func begin(r request) context.Context {
	limit := 60 * time.Second
	if r.Timeout > 0 {
		limit = time.Duration(r.Timeout) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cancels[r.N] = cancel
	return ctx
}

func answer(n int, ok any, err error) {
	if err == nil {
		say(map[string]any{"n": n, "ok": ok})
		return
	}
	e := map[string]any{"message": err.Error()}
	var wire *jsonrpc.Error
	if errors.As(err, &wire) {
		e["code"], e["data"] = wire.Code, wire.Data
	}
	say(map[string]any{"n": n, "error": e})
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			panic(err)
		}
		switch r.Do {
		case "connect":
			ok, err := connect(r)
			answer(r.N, ok, err)
		case "list":
			ok, err := list()
			answer(r.N, ok, err)
		case "call":
			ctx := begin(r)
			go func() {
				ok, err := call(ctx, r)
				answer(r.N, ok, err)
			}()
		case "cancel":
			cancels[r.Of]()
			answer(r.N, map[string]any{}, nil)
		case "close":
			answer(r.N, map[string]any{}, session.Close())
		}
	}
}
