// Package source reads the Go files of this tree for the checks in test/arch and the figures of `make metrics`.
package source

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/uudashr/gocognit"
)

// Module is the path of this module.
const Module = "github.com/wherry-containers/wherry"

// File is one Go file. Files of every processor and build tag are read, so that a rule holds for all of them;
// only files behind the tag "deps" and files marked as generated are left out.
type File struct {
	Path    string // relative to the root of the tree
	Dir     string // its folder, "." for the root
	Test    bool
	Lines   int
	Code    int // lines that are neither blank nor only comment
	Syntax  *ast.File
	Imports []string
	Set     *token.FileSet
}

// Function is one declared function or method.
type Function struct {
	Name      string
	File      *File
	Line      int
	Lines     int
	Cognitive int
}

// Tree reads the Go files below root.
func Tree(root string) ([]*File, error) {
	var files []*File
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if skipDir(rel, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := read(name, filepath.ToSlash(rel))
		if file != nil {
			files = append(files, file)
		}
		return err
	})
	return files, err
}

func skipDir(rel, name string) bool {
	return rel != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
		name == "testdata" || name == "vendor" || rel == "bin" || rel == "dist")
}

// read parses one file; nil for one that is left out.
func read(name, rel string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(syntax) || behindTag(syntax, "deps") {
		return nil, nil
	}
	lines, code := count(string(text))
	file := &File{
		Path: rel, Dir: path.Dir(rel), Test: strings.HasSuffix(rel, "_test.go"),
		Lines: lines, Code: code, Syntax: syntax, Set: set,
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		file.Imports = append(file.Imports, imported)
	}
	return file, nil
}

// behindTag tells whether the file is built only with the given tag.
func behindTag(syntax *ast.File, tag string) bool {
	for _, group := range syntax.Comments {
		for _, comment := range group.List {
			if expr, err := constraint.Parse(comment.Text); err == nil {
				return !expr.Eval(func(t string) bool { return t != tag })
			}
		}
	}
	return false
}

// count returns all lines of text and those that hold code. A line that starts inside a block comment and ends
// outside counts as comment.
func count(text string) (lines, code int) {
	inBlock := false
	for line := range strings.Lines(text) {
		lines++
		line = strings.TrimSpace(line)
		switch {
		case inBlock:
			inBlock = !strings.Contains(line, "*/")
		case strings.HasPrefix(line, "/*"):
			inBlock = !strings.Contains(line, "*/")
		case line == "" || strings.HasPrefix(line, "//"):
		default:
			code++
		}
	}
	return lines, code
}

// Functions lists the functions of a file with their length and cognitive complexity.
func (f *File) Functions() []Function {
	var all []Function
	for _, decl := range f.Syntax.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		first, last := f.Set.Position(fn.Pos()).Line, f.Set.Position(fn.End()).Line
		all = append(all, Function{
			Name: fn.Name.Name, File: f, Line: first, Lines: last - first + 1, Cognitive: gocognit.Complexity(fn),
		})
	}
	return all
}

// Selectors calls visit for each use NAME.SELECTOR of an imported package whose path is imported.
func (f *File) Selectors(imported string, visit func(selector string, line int)) {
	name := f.localName(imported)
	if name == "" {
		return
	}
	ast.Inspect(f.Syntax, func(node ast.Node) bool {
		sel, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == name {
			visit(sel.Sel.Name, f.Set.Position(sel.Pos()).Line)
		}
		return true
	})
}

// localName is the name by which the file calls an imported package, or empty.
func (f *File) localName(imported string) string {
	for _, spec := range f.Syntax.Imports {
		if spec.Path.Value != strconv.Quote(imported) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}
