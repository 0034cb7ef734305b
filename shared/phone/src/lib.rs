//! Phone numbers as WhatsApp and spreadsheets write them.
