package container

import "errors"

// splitWords splits a command line at blanks as a shell does: quotes hold words together, a backslash takes the next
// character as it is. Nothing is expanded.
func splitWords(text string) ([]string, error) {
	var words []string
	var word []rune
	var quote rune
	inWord, escaped := false, false
	for _, r := range text {
		switch {
		case escaped:
			word, escaped = append(word, r), false
		case r == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word = append(word, r)
		case r == '"' || r == '\'':
			inWord, quote = true, r
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			if inWord {
				words, word, inWord = append(words, string(word)), nil, false
			}
		default:
			inWord, word = true, append(word, r)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, string(word))
	}
	return words, nil
}
