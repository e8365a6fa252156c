package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// job is one thing that an agent times: Argvs run one after the other, or Parallel at once.
type job struct {
	Argvs    [][]string
	Parallel int
}

// outcome is the agent's answer.
type outcome struct {
	Nanos  int64
	Output string // of the last command, or of the one that failed
	Error  string
}

// rest is the pause before each measurement, and patience how much longer it waits for the processors to be idle: what
// the one before left to the kernel (namespaces, control groups, dirty pages) or to processes in the background must not
// be charged to the next.
const (
	rest     = 40 * time.Millisecond
	patience = 2 * time.Second
)

// calm rests until the machine does.
func calm() {
	time.Sleep(rest)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		idle, total := processorTime()
		time.Sleep(rest)
		idleNow, totalNow := processorTime()
		if 10*(idleNow-idle) >= 9*(totalNow-total) {
			return
		}
	}
}

// processorTime reads /proc/stat: all processors together, in ticks.
func processorTime() (idle, total int64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil || i > 8 { // guests are counted twice
			continue
		}
		if total += n; i == 4 || i == 5 { // idle, iowait
			idle += n
		}
	}
	return idle, total
}

// serve is the agent: it lives where a peer lives (another user, another mount or user namespace), so that no
// measurement holds the way there.
func serve(in io.Reader, out io.Writer) error {
	jobs, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var j job
		if err := jobs.Decode(&j); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		calm()
		if err := answers.Encode(j.run()); err != nil {
			return err
		}
	}
}

func (j job) run() outcome {
	if j.Parallel > 1 {
		return j.runParallel()
	}
	var result outcome
	out, err := newOutput()
	if err != nil {
		return outcome{Error: err.Error()}
	}
	defer out.Close()
	start := time.Now()
	for _, argv := range j.Argvs {
		output, err := out.of(argv)
		result.Output = output
		if err != nil {
			result.Error = fmt.Sprintf("%s: %v: %s", strings.Join(argv, " "), err, output)
			break
		}
	}
	result.Nanos = time.Since(start).Nanoseconds()
	return result
}

func (j job) runParallel() outcome {
	var (
		result outcome
		once   sync.Once
		group  sync.WaitGroup
		queue  = make(chan []string)
	)
	start := time.Now()
	for range j.Parallel {
		group.Go(func() {
			out, err := newOutput()
			if err == nil {
				defer out.Close()
			}
			for argv := range queue {
				output := ""
				if err == nil {
					output, err = out.of(argv)
				}
				if err != nil {
					once.Do(func() {
						result.Error = fmt.Sprintf("%s: %v: %s", strings.Join(argv, " "), err, output)
					})
				}
			}
		})
	}
	for _, argv := range j.Argvs {
		queue <- argv
	}
	close(queue)
	group.Wait()
	result.Nanos = time.Since(start).Nanoseconds()
	return result
}

// output is a file that takes what commands print, as in a script: no pipe whose end a background process could hold.
// It is made before the clock starts.
type output struct {
	*os.File
	env []string
}

func newOutput() (output, error) {
	file, err := os.CreateTemp("", "bench")
	if err != nil {
		return output{}, err
	}
	return output{file, os.Environ()}, os.Remove(file.Name())
}

// of runs argv and returns what it printed.
func (o output) of(argv []string) (string, error) {
	if err := o.Truncate(0); err != nil {
		return "", err
	}
	if _, err := o.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = o.env, o.File, o.File
	err := cmd.Run()
	text := make([]byte, 4096)
	n, _ := o.ReadAt(text, 0)
	return strings.TrimSpace(string(text[:n])), err
}

// agent is the controller's end of a process in agent mode.
type agent struct {
	cmd     *exec.Cmd
	jobs    *json.Encoder
	answers *json.Decoder
	stdin   io.Closer
}

// startAgent runs argv, a command line that ends in this program's agent mode, and waits for its first answer.
func startAgent(env []string, argv ...string) (*agent, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(cmd.Environ(), env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a := &agent{cmd, json.NewEncoder(stdin), json.NewDecoder(stdout), stdin}
	if _, err := a.do("true"); err != nil {
		a.stop()
		return nil, fmt.Errorf("agent %s: %w", argv[0], err)
	}
	return a, nil
}

func (a *agent) stop() {
	a.stdin.Close()
	a.cmd.Wait()
}

// time runs a job and returns how long it took.
func (a *agent) time(j job) (time.Duration, error) {
	if err := a.jobs.Encode(j); err != nil {
		return 0, err
	}
	var result outcome
	if err := a.answers.Decode(&result); err != nil {
		return 0, err
	}
	if result.Error != "" {
		return 0, fmt.Errorf("%s", result.Error)
	}
	return time.Duration(result.Nanos), nil
}

// do runs one command and returns what it printed.
func (a *agent) do(argv ...string) (string, error) {
	if err := a.jobs.Encode(job{Argvs: [][]string{argv}}); err != nil {
		return "", err
	}
	var result outcome
	if err := a.answers.Decode(&result); err != nil {
		return "", err
	}
	if result.Error != "" {
		return "", fmt.Errorf("%s", result.Error)
	}
	return result.Output, nil
}
