// Command metrics prints the figures that docs/STYLE.md watches: the tails of length and complexity, tests to code,
// and how much of what is exported is documented.
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/wherry-containers/wherry/test/source"
)

func main() {
	files, err := source.Tree(".")
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "FIGURE\tNOW\tAIM")
	for _, row := range figures(files) {
		fmt.Fprintf(out, "%s\t%s\t%s\n", row.name, row.now, row.aim)
	}
	out.Flush()
}

type figure struct{ name, now, aim string }

func figures(files []*source.File) []figure {
	var code, tests []*source.File
	for _, f := range files {
		if f.Test || strings.HasPrefix(f.Dir, "test/") {
			tests = append(tests, f)
		} else {
			code = append(code, f)
		}
	}
	codeLines, testLines := lines(code), lines(tests)
	rows := []figure{
		{"code lines", fmt.Sprint(codeLines), ""},
		{"test lines", fmt.Sprint(testLines), ""},
		{"test lines per code line", fmt.Sprintf("%.2f", ratio(testLines, codeLines)), ">= 0.8"},
	}
	rows = append(rows, functionFigures(code)...)
	rows = append(rows, fileFigures(code)...)
	rows = append(rows, typeFigures(code)...)
	return append(rows, docFigures(code)...)
}

func lines(files []*source.File) (n int) {
	for _, f := range files {
		n += f.Code
	}
	return n
}

func ratio(a, b int) float64 { return float64(a) / float64(max(b, 1)) }

func percent(a, b int) string { return fmt.Sprintf("%.1f %% (%d of %d)", 100*ratio(a, b), a, b) }

func functionFigures(code []*source.File) []figure {
	var all []source.Function
	for _, f := range code {
		all = append(all, f.Functions()...)
	}
	if len(all) == 0 {
		return nil
	}
	over := 0
	for _, fn := range all {
		if fn.Lines > 60 {
			over++
		}
	}
	longest := slices.MaxFunc(all, func(a, b source.Function) int { return cmp.Compare(a.Lines, b.Lines) })
	slices.SortFunc(all, func(a, b source.Function) int { return cmp.Compare(a.Cognitive, b.Cognitive) })
	worst := all[len(all)-1]
	return []figure{
		{"functions over 60 lines", percent(over, len(all)), "<= 4 %"},
		{"longest function", fmt.Sprintf("%d (%s in %s)", longest.Lines, longest.Name, longest.File.Path), "<= 120"},
		{"cognitive complexity, p95", fmt.Sprint(all[len(all)*95/100].Cognitive), "<= 15"},
		{"cognitive complexity, worst", fmt.Sprintf("%d (%s in %s)", worst.Cognitive, worst.Name, worst.File.Path), "<= 30"},
	}
}

func fileFigures(code []*source.File) []figure {
	if len(code) == 0 {
		return nil
	}
	over := 0
	for _, f := range code {
		if f.Lines > 500 {
			over++
		}
	}
	longest := slices.MaxFunc(code, func(a, b *source.File) int { return cmp.Compare(a.Lines, b.Lines) })
	return []figure{
		{"files over 500 lines", percent(over, len(code)), "<= 2 %"},
		{"longest file", fmt.Sprintf("%d (%s)", longest.Lines, longest.Path), "<= 600"},
	}
}

// typeFigures finds the widest struct and interface, and folders that import each other.
func typeFigures(code []*source.File) []figure {
	fields, methods := widest{}, widest{}
	imports := map[string]map[string]bool{}
	for _, f := range code {
		ast.Inspect(f.Syntax, func(node ast.Node) bool {
			spec, ok := node.(*ast.TypeSpec)
			if !ok {
				return true
			}
			where := f.Dir + "." + spec.Name.Name
			switch typ := spec.Type.(type) {
			case *ast.StructType:
				fields.see(count(typ.Fields), where)
			case *ast.InterfaceType:
				methods.see(count(typ.Methods), where)
			}
			return true
		})
		noteImports(imports, f)
	}
	return []figure{
		{"widest struct, fields", fields.String(), "<= 25"},
		{"widest interface, methods", methods.String(), "<= 8"},
		{"folders that import each other", fmt.Sprint(mutual(imports)), "0"},
	}
}

type widest struct {
	n     int
	where string
}

func (w *widest) see(n int, where string) {
	if n > w.n {
		*w = widest{n, where}
	}
}

func (w widest) String() string { return fmt.Sprintf("%d (%s)", w.n, w.where) }

func count(list *ast.FieldList) (n int) {
	for _, field := range list.List {
		n += max(len(field.Names), 1)
	}
	return n
}

// noteImports records which top folders (libpod, pkg/store ...) import which.
func noteImports(imports map[string]map[string]bool, f *source.File) {
	for _, imported := range f.Imports {
		ours, ok := strings.CutPrefix(imported, source.Module+"/")
		from, to := folder(f.Dir), folder(ours)
		if !ok || from == to {
			continue
		}
		if imports[from] == nil {
			imports[from] = map[string]bool{}
		}
		imports[from][to] = true
	}
}

func folder(dir string) string {
	parts := strings.Split(dir, "/")
	if parts[0] == "pkg" && len(parts) > 1 {
		return path.Join(parts[:2]...)
	}
	return parts[0]
}

func mutual(imports map[string]map[string]bool) (n int) {
	for from, tos := range imports {
		for to := range tos {
			if from < to && imports[to][from] {
				n++
			}
		}
	}
	return n
}

func docFigures(code []*source.File) []figure {
	packages, said := map[string]bool{}, map[string]bool{}
	exported, documented := 0, 0
	for _, f := range code {
		packages[f.Dir] = true
		if f.Syntax.Doc != nil {
			said[f.Dir] = true
		}
		if f.Syntax.Name.Name == "main" {
			continue
		}
		for _, decl := range f.Syntax.Decls {
			all, with := documentation(decl)
			exported, documented = exported+all, documented+with
		}
	}
	return []figure{
		{"packages with a comment", percent(len(said), len(packages)), "100 %"},
		{"exported names with a comment", percent(documented, exported), ">= 95 %"},
	}
}

// documentation counts the exported names of a declaration and those with a comment of their own or of their group.
func documentation(decl ast.Decl) (exported, documented int) {
	note := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		if !name.IsExported() {
			return
		}
		exported++
		if slices.ContainsFunc(docs, func(doc *ast.CommentGroup) bool { return doc != nil }) {
			documented++
		}
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || receiverExported(d.Recv) {
			note(d.Name, d.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				note(s.Name, d.Doc, s.Doc, s.Comment)
			case *ast.ValueSpec:
				for _, name := range s.Names {
					note(name, d.Doc, s.Doc, s.Comment)
				}
			}
		}
	}
	return exported, documented
}

func receiverExported(recv *ast.FieldList) bool {
	typ := recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}
