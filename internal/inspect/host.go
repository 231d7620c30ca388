package inspect

import (
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// host reads names, operating system, hardware and memory. What a machine
// does not say stays empty.
func (in *inspector) host() {
	in.m.Hostname = in.text("/proc/sys/kernel/hostname")
	in.m.Kernel = in.text("/proc/sys/kernel/osrelease")
	if id := in.text("/etc/machine-id"); len(id) == 32 {
		in.m.MachineID = id
	}
	osRelease := in.text("/etc/os-release")
	if osRelease == "" {
		osRelease = in.text("/usr/lib/os-release")
	}
	in.m.OS = parseOSRelease(osRelease)
	const dmi = "/sys/class/dmi/id/"
	in.m.Product = machine.Product{
		Vendor: in.text(dmi + "sys_vendor"), Name: in.text(dmi + "product_name"),
		Serial: in.text(dmi + "product_serial"), UUID: strings.ToLower(in.text(dmi + "product_uuid")),
	}
	in.m.CPU = parseCPU(in.text("/proc/cpuinfo"))
	for line := range strings.Lines(in.text("/proc/meminfo")) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			in.m.Memory = machine.Bytes(kib) << 10
		}
	}
}

// parseOSRelease reads os-release(5).
func parseOSRelease(s string) machine.OS {
	v := map[string]string{}
	for line := range strings.Lines(s) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = strings.NewReplacer(`\"`, `"`, `\$`, `$`, "\\`", "`", `\\`, `\`).Replace(value[1 : n-1])
		}
		v[key] = value
	}
	o := machine.OS{ID: v["ID"], VersionID: v["VERSION_ID"], Name: v["PRETTY_NAME"]}
	if l := strings.Fields(v["ID_LIKE"]); len(l) > 0 {
		o.IDLike = l
	}
	if o.Name == "" {
		o.Name = v["NAME"]
	}
	return o
}

// levels are the flags of /proc/cpuinfo that each level of the x86-64 psABI
// asks for beyond the one before (abm stands for LZCNT, pni for SSE3).
var levels = [][]string{
	{"cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse", "sse2"},
	{"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
	{"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
	{"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}

func parseCPU(cpuinfo string) machine.CPU {
	var c machine.CPU
	flags := map[string]bool{}
	for line := range strings.Lines(cpuinfo) {
		key, value, ok := strings.Cut(line, ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case ok && key == "model name" && c.Model == "":
			c.Model = value
		case ok && key == "flags" && len(flags) == 0:
			for f := range strings.FieldsSeq(value) {
				flags[f] = true
			}
		}
	}
	for i, need := range levels {
		for _, f := range need {
			if !flags[f] {
				return c
			}
		}
		c.Level = i + 1
	}
	return c
}
