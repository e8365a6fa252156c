package record

// Update is what `update` has changed of the wish since it was written (update.json, replaced whole). What it names
// takes the place of the same part of Config; the rest of Config stands.
type Update struct {
	Version   int
	Resources *Resources `json:",omitempty"`
	Restart   *Restart   `json:",omitempty"`
	Env       *[]string  `json:",omitempty"`
	Health    *NewHealth `json:",omitempty"`
}

// Restart is a restart policy.
type Restart struct {
	Policy     string // as Lifecycle.Restart
	MaxRetries int
}

// NewHealth is a health check that replaces the one before; a nil Check means none.
type NewHealth struct{ Check *Health }

// Apply changes a wish into the one that now holds.
func (u *Update) Apply(c *Config) {
	if u.Resources != nil {
		c.Resources = *u.Resources
	}
	if u.Env != nil {
		c.Process.Env = *u.Env
	}
	u.ApplyLife(&c.Lifecycle, &c.Health)
}

// ApplyLife is the part of Apply that concerns the monitor.
func (u *Update) ApplyLife(l *Lifecycle, h **Health) {
	if u.Restart != nil {
		l.Restart, l.MaxRetries = u.Restart.Policy, u.Restart.MaxRetries
	}
	if u.Health != nil {
		*h = u.Health.Check
	}
}
