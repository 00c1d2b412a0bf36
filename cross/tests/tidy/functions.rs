//! Functions of a file: how long they are and how much they take.

use super::house::{attributes, is_test};
use syn::visit::Visit;

/// One function that is not for tests.
pub struct Function {
    pub name: String,
    pub lines: usize,
    /// The receiver not counted.
    pub arguments: usize,
}

/// The functions of a file, methods and those inside others included.
pub fn functions(file: &syn::File) -> Vec<Function> {
    let mut finder = Finder { owner: String::new(), found: Vec::new() };
    finder.visit_file(file);
    finder.found
}

struct Finder {
    owner: String,
    found: Vec<Function>,
}

impl Finder {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        // From `fn` to the closing brace: attributes and documentation do not count.
        let (first, last) = (signature.fn_token.span.start().line, block.brace_token.span.close().end().line);
        let takes = signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_)));
        self.found.push(Function {
            name: format!("{}{}", self.owner, signature.ident),
            lines: last - first + 1,
            arguments: takes.count(),
        });
    }

    fn inside(&mut self, owner: String, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.owner, owner);
        visit(self);
        self.owner = outer;
    }
}

impl Visit<'_> for Finder {
    fn visit_item(&mut self, item: &syn::Item) {
        if !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.add(&function.sig, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, block: &syn::ItemImpl) {
        let owner = match &*block.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| format!("{}::", last.ident)),
            _ => None,
        };
        self.inside(owner.unwrap_or_default(), |finder| syn::visit::visit_item_impl(finder, block));
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_trait(&mut self, block: &syn::ItemTrait) {
        self.inside(format!("{}::", block.ident), |finder| syn::visit::visit_item_trait(finder, block));
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}
