package archive

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// Whatever the quick decoder takes, encoding/json must take, with the same result.
func sameAsJSON(t *testing.T, line []byte) (quick bool) {
	t.Helper()
	var q, j record
	if !q.quick(line) {
		return false
	}
	if err := json.Unmarshal(line, &j); err != nil || !reflect.DeepEqual(q, j) {
		t.Errorf("%q:\nquick %+v\njson  %+v, %v", line, q, j, err)
	}
	return true
}

func TestQuickRecords(t *testing.T) {
	n := 0
	for _, s := range samples() {
		e := s.Entry
		e.Frame, e.FrameOffset, e.Inode, e.Dev = 7, 512, 1<<40, 2049
		line, err := appendRecordLine(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		if sameAsJSON(t, line[:len(line)-1]) {
			n++
		}
	}
	if n < 8 {
		t.Errorf("only %d records of %d were taken", n, len(samples()))
	}
	for _, c := range []struct {
		line string
		take bool
	}{
		{`{"name":"a","type":"file","mode":"644","uid":0,"gid":4294967295,"size":999999999999999999,"frame":-1}`, true},
		{`{"name":"é😀","type":"dir","mode":"755","uid":1,"gid":2,"frame":0}`, true},
		{`{"name":"a","name":"b","type":"file","frame":0}`, true}, // the later one counts
		{`{}`, false}, {``, false}, {`{`, false}, {`{"name":"a"`, false}, {`{"name":"a"} `, false}, {`{"name":"a"}}`, false},
		{`{"name":"a",}`, false}, {`{"name":"a" }`, false}, {`{ "name":"a"}`, false}, {`{"name":"a\\u0041"}`, false}, {"{\"name\":\"a\tb\"}", false},
		{`{"name":"a}`, false}, {`{"name":1}`, false}, {`{"uid":"1"}`, false}, {`{"uid":-1}`, false}, {`{"uid":4294967296}`, false},
		{`{"uid":01}`, false}, {`{"uid":1.0}`, false}, {`{"uid":1e3}`, false}, {`{"uid":}`, false}, {`{"size":-0}`, false},
		{`{"size":1000000000000000000}`, false}, {`{"size":99999999999999999999}`, false}, {`{"type":"door"}`, false}, {`{"Name":"a"}`, false},
		{"{\"name\":\"\xff\"}", false}, {`{"name":"a","xattrs":{}}`, false}, {`{"unreadable":true}`, false}, {`null`, false}, {`["name"]`, false},
	} {
		line := strings.ReplaceAll(c.line, `\\`, `\`)
		if got := sameAsJSON(t, []byte(line)); got != c.take {
			t.Errorf("%s: taken %v", line, got)
		}
	}
}

func FuzzQuickRecord(f *testing.F) {
	for _, s := range samples() {
		e := s.Entry
		if line, err := appendRecordLine(nil, &e); err == nil {
			f.Add(line[:len(line)-1])
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) { sameAsJSON(t, line) })
}

func TestByteSum(t *testing.T) {
	for _, fill := range []byte{0, 1, 0x80, 0xff} {
		b := make([]byte, blockSize)
		var want int64
		for i := range b {
			b[i] = fill + byte(i%3)*(fill&1)
			want += int64(b[i])
		}
		if got := byteSum(b); got != want {
			t.Errorf("sum %d, want %d", got, want)
		}
	}
}
