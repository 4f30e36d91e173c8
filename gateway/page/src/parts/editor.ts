// The SQL box. It is loaded when it is first needed, and lives in a shadow root: there the editor's styles are
// constructed sheets, which the page's policy allows, while it forbids style elements.
import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { PostgreSQL, sql, type SQLNamespace } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, drawSelection, EditorView, highlightSpecialChars, keymap, lineNumbers, placeholder, type DecorationSet } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const setMark = StateEffect.define<{ from: number; to: number } | null>();

/** Where the gateway found a mistake, until the text changes. */
const mark = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, change) {
    let next = change.docChanged ? Decoration.none : marks;
    for (const effect of change.effects) {
      if (!effect.is(setMark)) continue;
      next = effect.value ? Decoration.set([Decoration.mark({ class: "cm-mistake" }).range(effect.value.from, effect.value.to)]) : Decoration.none;
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword], color: "var(--sql-word)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--sql-text)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--sql-number)" },
  { tag: [tags.comment, tags.lineComment, tags.blockComment], color: "var(--quiet)", fontStyle: "italic" },
  { tag: tags.typeName, color: "var(--sql-number)" },
]);

const look = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--field)", fontSize: "13px", height: "100%" },
  // The box around it shows the focus.
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5", overflow: "auto" },
  ".cm-content": { caretColor: "var(--ink)", padding: "8px 0" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--field)", color: "var(--quiet)", border: "none" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--chosen)" },
  ".cm-matchingBracket": { backgroundColor: "var(--chosen)", outline: "none" },
  ".cm-mistake": { textDecoration: "underline wavy var(--bad) 1.5px", textUnderlineOffset: "3px", backgroundColor: "var(--bad-back)" },
  ".cm-placeholder": { color: "var(--quiet)" },
  ".cm-tooltip": { backgroundColor: "var(--paper)", border: "1px solid var(--line)", color: "var(--ink)", borderRadius: "4px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "12px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { color: "inherit", fontStyle: "normal", marginLeft: "1.5em" },
});

export interface Options {
  text: string;
  onChange(text: string): void;
  onRun(): void;
}

/** Tables with their columns, as completion shows them. */
export type Tables = Map<string, { name: string; type: string }[]>;

export class Editor {
  private readonly view: EditorView;
  private readonly language = new Compartment();
  private tables: Tables = new Map();

  constructor(host: HTMLElement, { text, onChange, onRun }: Options) {
    const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    root.replaceChildren();
    const frame = document.createElement("div");
    frame.style.height = "100%";
    root.append(frame);
    const run = () => {
      onRun();
      return true;
    };
    this.view = new EditorView({
      root,
      parent: frame,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(),
          highlightSpecialChars(),
          history(),
          drawSelection(),
          bracketMatching(),
          closeBrackets(),
          autocompletion({ icons: false }),
          placeholder("select …"),
          mark,
          look,
          syntaxHighlighting(colours),
          this.language.of(language(new Map())),
          PostgreSQL.language.data.of({ autocomplete: (context: CompletionContext) => columnsAt(context, this.tables) }),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ tabindex: "0", "aria-label": "SQL statement", autocapitalize: "off", spellcheck: "false" }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) onChange(update.state.doc.toString());
          }),
          keymap.of([
            { key: "Mod-Enter", run },
            { key: "Shift-Enter", run },
            // Tab takes a completion that is open, and else leaves the box, as it does everywhere.
            { key: "Tab", run: acceptCompletion },
            ...closeBracketsKeymap,
            ...completionKeymap,
            ...historyKeymap,
            ...defaultKeymap,
          ]),
        ],
      }),
    });
  }

  text(): string {
    return this.view.state.doc.toString();
  }

  /** The selected text, or everything; and where it begins. */
  chosen(): { text: string; from: number } {
    const { from, to } = this.view.state.selection.main;
    const selected = this.view.state.sliceDoc(from, to);
    return selected.trim() === "" ? { text: this.text(), from: 0 } : { text: selected, from };
  }

  replace(text: string): void {
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text }, selection: { anchor: text.length } });
  }

  complete(tables: Tables): void {
    this.tables = tables;
    this.view.dispatch({ effects: this.language.reconfigure(language(tables)) });
  }

  /** Shows the word at a place as a mistake. */
  point(at: number | null): void {
    if (at === null) {
      this.view.dispatch({ effects: setMark.of(null) });
      return;
    }
    const length = this.view.state.doc.length;
    const from = Math.min(at, Math.max(0, length - 1));
    const word = this.view.state.wordAt(from);
    const to = Math.min(length, word ? word.to : from + 1);
    if (from < to) this.view.dispatch({ effects: [setMark.of({ from, to }), EditorView.scrollIntoView(from)] });
  }

  focus(): void {
    this.view.focus();
  }

  close(): void {
    this.view.destroy();
  }
}

/** The columns of the tables that the statement names, without the table's name before them. */
function columnsAt(context: CompletionContext, tables: Tables): CompletionResult | null {
  const word = context.matchBefore(/[\p{L}_][\p{L}\p{N}_]*/u);
  if (!word || context.matchBefore(/\.[\p{L}\p{N}_]*/u)) return null;
  const words = new Set((context.state.doc.toString().match(/[\p{L}_][\p{L}\p{N}_]*/gu) ?? []).map((one) => one.toLowerCase()));
  const options = [...tables]
    .filter(([name]) => words.has(name.toLowerCase()))
    .flatMap(([name, columns]) => columns.map((column) => ({ label: column.name, detail: `${column.type}, ${name}`, type: "property", boost: 1 })));
  return options.length === 0 ? null : { from: word.from, options };
}

function language(tables: Tables) {
  const schema: SQLNamespace = Object.fromEntries(
    [...tables].map(([name, columns]) => [
      name,
      columns.map((column) => ({ label: column.name, detail: column.type, type: "property" })),
    ]),
  );
  return sql({ dialect: PostgreSQL, schema, upperCaseKeywords: false });
}
