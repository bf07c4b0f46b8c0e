package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

type measurement struct {
	// One for each repetition, in nanoseconds that processors worked.
	Load    []int64 `json:"load"`    // files in memory to a chart
	Prepare []int64 `json:"prepare"` // dependencies, values, schema
	Render  []int64 `json:"render"`  // the engine: templates parsed and executed
	Sort    []int64 `json:"sort"`    // hooks and manifests, told apart and in order
	// The time that passed with all of these.
	Wall []int64 `json:"wall"`

	OutputBytes int   `json:"output_bytes"`
	PeakRSS     int64 `json:"peak_rss"` // bytes; of the process while this chart was rendered
	GoMaxProcs  int   `json:"gomaxprocs"`
}

// measure renders Chart Repeat times from files that it has read before. Helm's engine parses all templates each time it renders; a chart is
// loaded anew each time, for preparing it changes it.
func measure(asked request) any {
	if asked.GoMaxProcs > 0 {
		runtime.GOMAXPROCS(asked.GoMaxProcs)
	}
	read, err := loader.Load(asked.Chart)
	if err != nil {
		return failure{err.Error()}
	}
	var files []*archive.BufferedFile
	for _, file := range read.Raw {
		files = append(files, &archive.BufferedFile{Name: file.Name, ModTime: file.ModTime, Data: file.Data})
	}
	resetPeakRSS()
	taken := measurement{GoMaxProcs: runtime.GOMAXPROCS(0)}
	for range max(asked.Repeat, 1) {
		started, worked := time.Now(), processorTime()
		lap := func(laps *[]int64) {
			now := processorTime()
			*laps = append(*laps, now-worked)
			worked = now
		}
		loaded, err := loader.LoadFiles(files)
		if err != nil {
			return failure{err.Error()}
		}
		lap(&taken.Load)
		values, err := prepare(loaded, asked)
		if err != nil {
			return failure{err.Error()}
		}
		lap(&taken.Prepare)
		rendered, err := engine.Engine{}.Render(loaded, values)
		if err != nil {
			return failure{err.Error()}
		}
		lap(&taken.Render)
		taken.OutputBytes = 0
		for path, text := range rendered {
			if strings.HasSuffix(path, "NOTES.txt") {
				delete(rendered, path)
			} else {
				taken.OutputBytes += len(text)
			}
		}
		if _, _, err := releaseutil.SortManifests(rendered, nil, releaseutil.InstallOrder); err != nil {
			return failure{err.Error()}
		}
		lap(&taken.Sort)
		taken.Wall = append(taken.Wall, time.Since(started).Nanoseconds())
	}
	taken.PeakRSS = peakRSS()
	return taken
}

// processorTime is how long processors worked for this process, in nanoseconds; the garbage collector counts.
func processorTime() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
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
