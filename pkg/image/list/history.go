package list

import (
	"fmt"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/store"
)

// Step is one line of `history`, newest first.
type Step struct {
	Comment      string
	CreatedAt    string
	CreatedBy    string
	CreatedSince string
	ID           string
	Size         string

	Created string `json:"-"` // Podman's name of CreatedSince
}

// Headings are Docker's.
func (Step) Headings() map[string]string {
	return map[string]string{"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY"}
}

// HistoryOptions say how steps are shown.
type HistoryOptions struct {
	NoTrunc bool
	Raw     bool // bytes and times for machines
}

const createdByWidth = 45

// Steps makes the history of an image that Lookup found. Only the newest step is an image that is here.
func Steps(img *store.Image, opts HistoryOptions, now time.Time) []Step {
	var out []Step
	for i, h := range img.History() {
		s := Step{Comment: h.Comment, CreatedBy: oneLine(h.CreatedBy), ID: "<missing>", Size: Size(h.Size), CreatedSince: notCounted}
		if i == 0 {
			s.ID = ShortID(img.ID)
			if opts.NoTrunc {
				s.ID = "sha256:" + img.ID
			}
		}
		if h.Created != nil {
			s.CreatedAt = h.Created.Local().Format(time.RFC3339)
			s.CreatedSince = since(*h.Created, now)
		}
		if opts.Raw {
			s.Size, s.CreatedSince = fmt.Sprint(h.Size), s.CreatedAt
		}
		s.Created = s.CreatedSince
		if runes := []rune(s.CreatedBy); !opts.NoTrunc && len(runes) > createdByWidth {
			s.CreatedBy = string(runes[:createdByWidth-1]) + "…"
		}
		out = append(out, s)
	}
	return out
}

func oneLine(text string) string {
	return strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace(text)
}
