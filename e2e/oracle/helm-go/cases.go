package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// A file of cases is read by lines:
//
//	# a remark
//	~ YAML       values of all cases that follow, until the next block of such lines
//	@ PATH       a file of the chart of all cases that follow, until the next blank line and then a line of this kind;
//	| TEXT       its lines
//	> TEMPLATE   a case: the lines of its template
//	= OUTPUT     what Helm makes of it: the lines of it
//	! ERROR      or what Helm says instead
//	% REASON     why Capstan answers otherwise on purpose; it is left as it is
//
// Lines are joined by newlines; nothing stands behind the last. What would not survive an editor is written as `>"`, `="` or `!"` and JSON.

// times is how often each case is asked: what comes out differently (the order of a Go map, chance) is no case.
const times = 4

// surroundings of all cases; the test that reads them has the same.
const (
	caseRelease     = "rel"
	caseNamespace   = "ns"
	caseKubeVersion = "v1.31.2"
)

var caseAPIVersions = []string{"example.com/v1", "example.com/v1/Thing"}

// caseTemplate is where the template of a case lies in its chart: what it gives is neither read as YAML nor trimmed.
const caseTemplate = "templates/NOTES.txt"

type block struct {
	kind  byte // as the lines begin; 0 for blank lines and remarks, which stay as they are
	lines []string
}

// cases records what Helm says to the cases of files, or with check says whether that is what stands there. It returns how many differ.
func cases(check bool, files []string) (differ int, err error) {
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		chart, err := chartBeside(file)
		if err != nil {
			return 0, err
		}
		recorded, asked, err := record(string(text), chart)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		count += asked
		if recorded == string(text) {
			continue
		}
		differ += changed(file, string(text), recorded)
		if !check {
			if err := os.WriteFile(file, []byte(recorded), 0o644); err != nil {
				return 0, err
			}
		}
	}
	fmt.Fprintf(os.Stderr, "%d cases in %d files, %d lines differ from what Helm says\n", count, len(files), differ)
	return differ, nil
}

func changed(file, before, after string) int {
	had := map[string]bool{}
	for line := range strings.SplitSeq(before, "\n") {
		had[line] = true
	}
	count := 0
	for line := range strings.SplitSeq(after, "\n") {
		if !had[line] {
			count++
			if count <= 20 {
				fmt.Fprintf(os.Stderr, "%s: now %s\n", file, line)
			}
		}
	}
	return max(count, 1)
}

// chartBeside reads the directory `chart` beside a file of cases.
func chartBeside(file string) (map[string]string, error) {
	root := filepath.Join(filepath.Dir(file), "chart")
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, path)
		files[filepath.ToSlash(inside)] = string(text)
		return err
	})
	return files, err
}

// record gives the text with the answers of today.
func record(text string, chart map[string]string) (recorded string, count int, err error) {
	var out strings.Builder
	values, added := "", map[string]string{}
	path, gap := "", true
	var unsettled []error
	for _, block := range blocks(text) {
		switch block.kind {
		case '=', '!':
			continue
		case '~':
			values = block.text()
		case '@':
			if gap {
				added = map[string]string{}
			}
			path = strings.TrimSpace(block.text())
			added[path] = ""
		case '|':
			added[path] = block.text() + "\n"
		}
		for _, line := range block.lines {
			out.WriteString(line + "\n")
		}
		gap = block.kind == 0
		if block.kind != '>' {
			continue
		}
		files := map[string]string{}
		for _, layer := range []map[string]string{chart, added, {caseTemplate: block.text()}} {
			for name, text := range layer {
				files[name] = text
			}
		}
		kind, answer, err := said(files, values)
		if err != nil {
			unsettled = append(unsettled, fmt.Errorf("%q: %w", block.text(), err))
		}
		out.WriteString(written(kind, answer))
		count++
	}
	return out.String(), count, errors.Join(unsettled...)
}

// said gives what Helm says each time.
func said(files map[string]string, values string) (kind byte, text string, err error) {
	for round := range times {
		nowKind, now := ask(files, values)
		if round > 0 && (now != text || nowKind != kind) {
			return 0, "", fmt.Errorf("now %.200q and then %.200q", text, now)
		}
		kind, text = nowKind, now
	}
	return kind, text, nil
}

func ask(files map[string]string, values string) (kind byte, text string) {
	asked := request{
		Files: files, Values: []string{values}, Release: caseRelease, Namespace: caseNamespace,
		KubeVersion: caseKubeVersion, APIVersions: caseAPIVersions,
	}
	switch answer := render(asked).(type) {
	case rendered:
		return '=', answer.Files["case/"+caseTemplate]
	case failure:
		return '!', answer.Error
	default:
		panic("BUG: no answer")
	}
}

// blocks groups lines that follow each other and begin alike. A case's template ends where a line of another kind begins: two cases without an
// answer between them stand apart by a blank line.
func blocks(text string) []block {
	var found []block
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		kind := byte(0)
		if len(line) > 0 && strings.IndexByte("~@|>=!", line[0]) >= 0 {
			kind = line[0]
		}
		if last := len(found) - 1; last >= 0 && found[last].kind == kind && kind != '@' {
			found[last].lines = append(found[last].lines, line)
		} else {
			found = append(found, block{kind, []string{line}})
		}
	}
	return found
}

// text is what the lines of a block say.
func (b block) text() string {
	if len(b.lines) == 1 && strings.HasPrefix(b.lines[0][1:], `"`) {
		var text string
		if err := json.Unmarshal([]byte(b.lines[0][1:]), &text); err != nil {
			panic(fmt.Sprintf("no JSON: %s", b.lines[0]))
		}
		return text
	}
	var lines []string
	for _, line := range b.lines {
		lines = append(lines, strings.TrimPrefix(line[1:], " "))
	}
	return strings.Join(lines, "\n")
}

// written is the block that says text.
func written(kind byte, text string) string {
	plain := true
	for line := range strings.SplitSeq(text, "\n") {
		plain = plain && strings.TrimRight(line, " \t") == line
	}
	for _, r := range text {
		plain = plain && (r == '\n' || unicode.IsPrint(r) && r != unicode.ReplacementChar)
	}
	if !plain {
		var quoted strings.Builder
		encoder := json.NewEncoder(&quoted)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(text); err != nil {
			panic(err)
		}
		return string(kind) + quoted.String()
	}
	var out strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		out.WriteString(strings.TrimRight(string(kind)+" "+line, " ") + "\n")
	}
	return out.String()
}
