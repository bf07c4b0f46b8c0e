package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

type measured struct {
	Target      string  `json:"target"`
	Nanoseconds []int64 `json:"nanoseconds"` // one for each repetition: load, build, print
	OutputBytes int     `json:"output_bytes"`
	PeakRSS     int64   `json:"peak_rss"` // bytes; of the process while this target was built
	Error       string  `json:"error,omitempty"`
}

type measurement struct {
	Targets     []measured `json:"targets"`
	Nanoseconds []int64    `json:"nanoseconds"` // of all targets together, one for each repetition
	OutputBytes int        `json:"output_bytes"`
	PeakRSS     int64      `json:"peak_rss"`
	GoMaxProcs  int        `json:"gomaxprocs"`
}

// measure builds Targets below Root from disk, Repeat times each, one after another. The library stays warm: the schema is parsed once in the
// life of the process, and whoever wants that out of the figures asks twice.
func measure(asked request) any {
	options, err := options(asked.LoadRestrictor)
	if err != nil {
		return failure{err.Error()}
	}
	if asked.GoMaxProcs > 0 {
		runtime.GOMAXPROCS(asked.GoMaxProcs)
	}
	disk := filesys.MakeFsOnDisk()
	repeat := max(asked.Repeat, 1)
	all := measurement{Nanoseconds: make([]int64, repeat), GoMaxProcs: runtime.GOMAXPROCS(0)}
	for _, target := range asked.Targets {
		one := measured{Target: target}
		path := filepath.Join(asked.Root, target)
		resetPeakRSS()
		for round := range repeat {
			started := time.Now()
			bytes, err := buildOnDisk(disk, path, options)
			taken := time.Since(started).Nanoseconds()
			one.Nanoseconds = append(one.Nanoseconds, taken)
			all.Nanoseconds[round] += taken
			one.OutputBytes = bytes
			if err != nil {
				one.Error = err.Error()
			}
		}
		one.PeakRSS = peakRSS()
		all.OutputBytes += one.OutputBytes
		all.PeakRSS = max(all.PeakRSS, one.PeakRSS)
		all.Targets = append(all.Targets, one)
	}
	return all
}

func buildOnDisk(disk filesys.FileSystem, path string, options *krusty.Options) (int, error) {
	objects, err := krusty.MakeKustomizer(options).Run(disk, path)
	if err != nil {
		return 0, err
	}
	yaml, err := objects.AsYaml()
	return len(yaml), err
}

// resetPeakRSS asks Linux to count VmHWM anew (proc_pid_clear_refs(5)). Where it cannot, the peak is that of the process so far.
func resetPeakRSS() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
