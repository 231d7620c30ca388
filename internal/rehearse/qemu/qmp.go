package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// qmpClient speaks QEMU's machine protocol
// (https://www.qemu.org/docs/master/interop/qmp-spec.html), one command at a
// time. Events are read over.
type qmpClient struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

// qmpReply is one line from QEMU.
type qmpReply struct {
	Return json.RawMessage `json:"return"`
	Event  string          `json:"event"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// dialQMP connects to the control socket, which appears shortly after the
// start, and gets it out of its negotiation mode.
func dialQMP(ctx context.Context, path string, done <-chan struct{}) (*qmpClient, error) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			q := &qmpClient{conn: conn, in: bufio.NewReader(conn)}
			if _, err = q.in.ReadBytes('\n'); err == nil { // the greeting
				_, err = q.run(ctx, "qmp_capabilities", nil)
			}
			if err != nil {
				conn.Close()
				return nil, fmt.Errorf("cannot talk to QEMU's control socket: %w", err)
			}
			return q, nil
		}
		select {
		case <-done:
			return nil, errors.New("QEMU ended at once")
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("QEMU's control socket did not appear within 20 s: %w", err)
		}
	}
}

// run sends one command and returns its answer.
func (q *qmpClient) run(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	line, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = q.conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := q.conn.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	for {
		line, err := q.in.ReadBytes('\n')
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, err
		}
		var r qmpReply
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("cannot understand QEMU's answer %q: %w", line, err)
		}
		switch {
		case r.Event != "":
		case r.Error != nil:
			return nil, fmt.Errorf("%s: %s", r.Error.Class, r.Error.Desc)
		default:
			return r.Return, nil
		}
	}
}

// QMP runs a command of QEMU's machine protocol
// (https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html) and returns
// its answer.
func (vm *VM) QMP(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	answer, err := vm.qmp.run(ctx, command, arguments)
	if err != nil {
		return nil, fmt.Errorf("%s: QMP command %s: %w", vm.Config.Name, command, err)
	}
	return answer, nil
}
